"""From an image file to an aligned crop; the command is `shared/crop_faces.py`.

image_io        image file -> upright RGB pixels, or the reason why it cannot be used
mtcnn           pixels -> all faces with five landmarks, in batches; mtcnn_nets holds the three nets in torch
alignment       the face of a portrait, the transform that aligns it, and `RECIPE`, all settings of a crop
crop            a chunk of image files -> crop files and their index rows
cache           what earlier runs have done, and the index
workers         chunks on several processes, or on threads that feed a GPU
contact_sheet   many crops on one page, and the summary of a run
"""
