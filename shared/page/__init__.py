"""A page to try the specialists on photographs, in the browser: `python -m shared.page`.

__main__.py   the command: reads the model, draws examples, serves the page
blocks.py     the page in Gradio: components, events, deletion of uploads
rendering.py  the photograph with its faces, and the results of one face, as HTML
explain.py    faces of one photograph, and where each network looked (Grad-CAM)
"""
