"""Masks drawn on aligned crops of bare faces while a network is trained, so that it sees these persons masked too.

face        landmarks -> where the head is turned, how wide it is, where it ends
surface     pixels of a crop -> places on the lower face, as on a cylinder that turns with the head
wearing     how a mask sits: right, nose out, mouth out, under the chin, hanging from an ear
makes       what it is made of: shape, colour, cloth, pleats, seams, valves, prints
weave       cloth and prints as tiles, made once in a process
light       what the photograph says of its light, sharpness and noise
straps      bands from the mask to the ears or around the head
drawing     all of it laid on the crop
objects     other things before a face that are no mask

Every draw takes a random generator and nothing else that could vary: one seed gives one image.
"""
