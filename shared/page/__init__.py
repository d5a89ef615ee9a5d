"""A page to try the specialists on photographs, in the browser: `python -m shared.page`.

__main__.py   the command: reads the model, draws examples, serves the page
blocks.py     the page in Gradio: components, and what changes on which event
events.py     what the events do
results.py    what is shown and offered of photographs: drawn copies, table, messages, files
texts.py      every text, in English and Korean
explain.py    where each network looked (Grad-CAM)
retention.py  deletion of uploads after ten minutes
"""
