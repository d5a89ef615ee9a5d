"""The HTTP service: POST an image, get its faces as JSON.

app.py       routes, and the way of one request from its token to its response
limits.py    what clients may ask for; refusals
uploads.py   from the body of a request to the bytes of one image
batching.py  images of many clients predicted together
schema.py    the form of requests and responses, for OpenAPI
server.py    a socket until Ctrl-C
"""
