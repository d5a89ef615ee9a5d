"""How a portrait becomes an aligned crop; `shared/crop_faces.py` is the command.

image_files   any image file -> upright RGB pixels, or the reason why not
cascade         pixels -> all faces with five landmarks, in batches
detection       the one face that is wanted, with a second try where none is found
alignment       landmarks -> crop
cropping        a chunk of image files -> crop files and their index rows
cache           what is done already, what is to do, and the index of it all
contact_sheet   many crops on one page
"""
