"""Program files, and npy files of words (int16), without a package for arrays.

usage: files.py FOLDER     words of every size for FOLDER/prog.cnna, into FOLDER/x.npy
"""

import math
import random
import struct
import sys
import tomllib


def program(folder):
    """Meta and image of the program file."""
    with open(f"{folder}/prog.cnna", "rb") as f:
        data = f.read()
    assert data[:8] == b"CNNAPROG"
    sections = struct.unpack_from("<I", data, 12)[0]
    found = {}
    for n in range(sections):
        kind, _, offset, length = struct.unpack_from("<IIQQ", data, 32 + 24 * n)
        found[kind] = data[offset : offset + length]
    return tomllib.loads(found[0].decode()), found[1]


def words(path):
    """Words of an npy file."""
    with open(path, "rb") as f:
        data = f.read()
    start = 10 + struct.unpack_from("<H", data, 8)[0]
    return list(struct.unpack_from(f"<{(len(data) - start) // 2}h", data, start))


def main():
    folder = sys.argv[1]
    dims = (1, *program(folder)[0]["inputs"][0]["array"]["dims"])
    r = random.Random(1)
    values = [r.choice([r.randint(-32768, 32767), r.randint(-300, 300)]) for _ in range(math.prod(dims))]
    head = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {dims}, }}".encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    with open(f"{folder}/x.npy", "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + struct.pack(f"<{len(values)}h", *values))


if __name__ == "__main__":
    main()
