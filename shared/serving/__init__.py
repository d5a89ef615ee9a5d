"""The service: uploads that are hostile until looked at, batches, and answers that go back to whoever asked.

app.py           a request from its token to its answer
access.py        who may ask
uploads.py       a body to the bytes of one image, never longer than the limit; examine.py what they claim to be
batching.py      images of many clients answered together
limits.py        how much anyone may ask for; refusals.py how one is told no
metrics.py       counts and times for Prometheus
schema.py        the form of questions and answers; docs_page.py shows it to people
server.py        a socket until Ctrl-C; connections.py closes those where nobody speaks
"""
