"""Pages that people look at: one HTML file each, with style and images inside, that opens without a network.

page.py            the parts of a page: sections, cards, tables, figures, tiles of faces; style.css is how they look
charts.py          matplotlib figures and crops as images inside the page
finished_runs.py   what `shared/report.py` tells of: held-out answers, how they were decided, labels, crops, records
*_sections.py      one subject of a page each
image_facts.py   what `shared/eda.py` measures of an image file
"""
