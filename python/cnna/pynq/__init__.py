"""The accelerator on a board with PYNQ: the driver class that PYNQ binds to it, and an overlay that runs programs.

    import cnna.pynq
    overlay = cnna.pynq.Overlay("cnna.bit")              # beside it cnna.hwh, as Vivado leaves both
    with overlay.load("net.cnna") as network:            # buffers by pynq.allocate
        y = network(x)                                   # numpy in, numpy out
        print(network.cycles, overlay.power())

Pure Python over numpy and pynq: nothing of the native half is needed on the board. Programs that leave layers to the host need
`cnna-host` or the native half.
"""

from .driver import Driver, Network, Timeout
from .overlay import Overlay
from .program_file import ProgramFile

__all__ = ["Driver", "Network", "Overlay", "ProgramFile", "Timeout"]
