"""Masks drawn on aligned crops of bare faces during training. Every draw depends only on its random generator.

geometry     landmarks -> turn and width of the head; pixels -> places on the face; how a mask sits
fabric       what a mask is made of, and its look in the light, blur and noise of the photograph
overlay      `MaskOverlay`, the training transform: mask, straps and shadow drawn on a crop
occlusions   beard, glasses, hands and other things in front of a face that are no mask
"""

from shared.mask_overlay.overlay import MaskOverlay

__all__ = ["MaskOverlay"]
