"""Where PYNQ looks for this package's overlays (entry point `pynq.overlays`): put cnna.bit and cnna.hwh of your board here, or name their
path to `cnna.pynq.Overlay`. No bitstream is shipped: Vivado makes it from `cnna rtl`'s sources."""
