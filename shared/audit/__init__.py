"""Wrong labels and persons under two ids, found by what networks say of persons that they had not seen.

suspects.py     labels that held-out answers contradict, by person and by picture (cleanlab)
lookalikes.py   a perceptual hash of aligned faces
hashes.py       those hashes, kept beside the crops
duplicates.py   persons under two ids
twins.py        persons whose photograph is among other data too
sheet.py        the page on which people look at both
"""
