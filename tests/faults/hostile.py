"""Images and tables as chance would spoil them."""

import io
from functools import cache

from drawn_faces import bare, encode
from numpy.random import Generator
from PIL import Image

FORMS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")

MAGIC = (b"", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xdb", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF", b"II*\0", b"BM")
"""What files of images begin with."""

WORDS = (
    b",",
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b"",
    b"nan",
    b"inf",
    b"-1",
    b"1e309",
    b"\xff",
    b"\xef\xbb\xbf",
    b"=1+1",
    b"/..",
)
"""What tables stumble over."""


@cache
def whole_images() -> tuple[bytes, ...]:
    """A small portrait in every form, and as a progressive, a grey and a CMYK JPEG."""
    pixels = bare().pixels[::4, ::4]
    cmyk = io.BytesIO()
    Image.fromarray(pixels).convert("CMYK").save(cmyk, "JPEG")
    jpegs = (encode(pixels, progressive=True), encode(pixels[:, :, 0]), cmyk.getvalue())
    return (*(encode(pixels, form) for form in FORMS), *jpegs)


def huffman_tables(jpeg: bytes) -> list[tuple[int, int]]:
    """Where the Huffman tables of a JPEG begin and end: its DHT segments (ITU-T T.81, B.2.4.2)."""
    tables, at = [], 2
    while jpeg[at + 1] != 0xDA:
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] == 0xC4:
            tables.append((at + 4, at + 2 + length))
        at += 2 + length
    return tables


def random_bytes(random: Generator) -> bytes:
    """Noise, now and then behind the first bytes of an image file."""
    return MAGIC[random.integers(len(MAGIC))] + random.bytes(int(random.integers(1, 3000)))


def cut_image(random: Generator) -> bytes:
    """An image file cut short anywhere."""
    whole = whole_images()[random.integers(len(whole_images()))]
    return whole[: random.integers(len(whole))]


def spoilt_image(random: Generator) -> bytes:
    """An image file with up to twenty bytes changed."""
    content = bytearray(whole_images()[random.integers(len(whole_images()))])
    for place in random.integers(len(content), size=random.integers(1, 21)):
        content[place] = random.integers(256)
    return bytes(content)


def spoilt_huffman(random: Generator) -> bytes:
    """A JPEG with some bytes of its Huffman tables changed."""
    content = bytearray(whole_images()[0])
    tables = huffman_tables(content)
    for _ in range(random.integers(1, 5)):
        begin, end = tables[random.integers(len(tables))]
        content[random.integers(begin, end)] = random.integers(256)
    return bytes(content)


def spoilt_table(table: bytes, random: Generator) -> bytes:
    """A CSV with up to four changes: bytes replaced or put in, lines doubled, lost or cut short."""
    for _ in range(random.integers(1, 5)):
        place, lines = int(random.integers(len(table) + 1)), table.split(b"\n")
        line = int(random.integers(len(lines)))
        match random.integers(5):
            case 0:
                new = random.bytes(int(random.integers(6)))
                table = table[:place] + new + table[place + int(random.integers(30)) :]
            case 1:
                table = table[:place] + WORDS[random.integers(len(WORDS))] + table[place:]
            case 2:
                table = b"\n".join([*lines[: line + 1], *lines[line:]])
            case 3:
                table = b"\n".join([*lines[:line], *lines[line + 1 :]])
            case 4:
                table = table[:place]
    return table
