"""What the page shows: faces boxed in their photograph, answers as bars, and where each specialist looked.

grad_cam.py   where a network looked
heat.py       that, laid over the image
boxes.py      the photograph with its faces marked
card.py       what is said of one face, as HTML
examples.py   drawn portraits to begin with
sight.py      one photograph answered, for the page
blocks.py     the page, with page.css
web.py        that on a socket, with nothing fetched from outside
"""
