"""The HTTP service: POST images, get their faces as JSON.

app.py         routes, and the way of one request from its token to its response
limits.py      what clients may ask for; refusals
uploads.py     from the body of a request to the bytes of its images
batching.py    images of many clients predicted together
schema.py      the form of requests and responses, for OpenAPI
monitoring.py  metrics, request ids, access log
server.py      a socket until Ctrl-C; processes.py the same in several processes
"""
