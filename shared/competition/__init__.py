"""The files of the competition, as people write them: read with care, told row by row where they are wrong."""
