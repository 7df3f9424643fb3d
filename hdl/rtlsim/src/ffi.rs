//! The shared library made by `build`: its C interface, one call a clock cycle. The structures mirror `wrapper.cpp`.

use crate::build::PORT_NUMBERS;
use crate::error::RtlsimError;
use std::ffi::{CString, c_char};
use std::path::Path;

/// Memory's signals of one port.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct PortIn {
    pub arready: u8,
    pub rvalid: u8,
    pub rlast: u8,
    pub awready: u8,
    pub wready: u8,
    pub bvalid: u8,
    pub rresp: u8,
    pub bresp: u8,
    pub rdata: [u32; 4],
}

/// The accelerator's signals of one port.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct PortOut {
    pub araddr: u64,
    pub awaddr: u64,
    pub arvalid: u8,
    pub arlen: u8,
    pub rready: u8,
    pub awvalid: u8,
    pub awlen: u8,
    pub wvalid: u8,
    pub wlast: u8,
    pub bready: u8,
    pub wdata: [u32; 4],
    pub wstrb: u32,
    pub pad: u32,
}

/// Inputs of a cycle.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct In {
    pub port: [PortIn; PORT_NUMBERS],
    pub awaddr: u32,
    pub wdata: u32,
    pub araddr: u32,
    pub aresetn: u8,
    pub awvalid: u8,
    pub arvalid: u8,
    pub pad: u8,
}

/// Outputs of a cycle.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Out {
    pub port: [PortOut; PORT_NUMBERS],
    pub rdata: u32,
    pub awready: u8,
    pub arready: u8,
    pub rvalid: u8,
    pub bvalid: u8,
    pub busy: u8,
    pub pad: [u8; 3],
}

type Handle = *mut std::ffi::c_void;

/// One instance of the verilated top level.
pub(super) struct Model {
    handle: Handle,
    cycle: unsafe extern "C" fn(Handle, *const In, *mut Out),
    failed: unsafe extern "C" fn(Handle) -> i32,
    free: unsafe extern "C" fn(Handle),
    save: unsafe extern "C" fn(Handle, *const c_char) -> i32,
    restore: unsafe extern "C" fn(Handle, *const c_char) -> i32,
    // Unloaded last: the functions above live in it.
    _library: libloading::Library,
}

// SAFETY: a model is only reached through `&mut self`, and the library keeps no thread-local state between calls.
unsafe impl Send for Model {}

impl Model {
    /// Loads the library and makes an instance.
    pub(super) fn load(path: &Path) -> Result<Self, RtlsimError> {
        let failed = |e: libloading::Error| RtlsimError::ToolFailed {
            program: path.display().to_string(),
            message: e.to_string(),
        };
        // SAFETY: `build` made the library from this crate's sources; its initialisers only construct Verilator's statics,
        // and the six symbols have the types declared in wrapper.cpp.
        unsafe {
            let library = libloading::Library::new(path).map_err(failed)?;
            let new: libloading::Symbol<unsafe extern "C" fn() -> Handle> =
                library.get(b"cnna_new").map_err(failed)?;
            let handle = new();
            Ok(Model {
                handle,
                cycle: *library.get(b"cnna_cycle").map_err(failed)?,
                failed: *library.get(b"cnna_failed").map_err(failed)?,
                free: *library.get(b"cnna_free").map_err(failed)?,
                save: *library.get(b"cnna_save").map_err(failed)?,
                restore: *library.get(b"cnna_restore").map_err(failed)?,
                _library: library,
            })
        }
    }

    /// One clock cycle.
    pub(super) fn cycle(&mut self, input: &In, output: &mut Out) {
        // SAFETY: the handle is live until drop, and both structures have the layout that wrapper.cpp declares.
        unsafe { (self.cycle)(self.handle, input, output) }
    }

    /// Writes the state to a file.
    pub(super) fn save(&mut self, path: &Path) -> Result<(), RtlsimError> {
        let name = c_path(path)?;
        // SAFETY: the handle is live until drop, and the name is a C string that outlives the call.
        let done = unsafe { (self.save)(self.handle, name.as_ptr()) };
        opened(done, path)
    }

    /// Takes the state from a file that `save` of the same library wrote, whole: what else it holds ends the process.
    pub(super) fn restore(&mut self, path: &Path) -> Result<(), RtlsimError> {
        let name = c_path(path)?;
        // SAFETY: as for `save`.
        let done = unsafe { (self.restore)(self.handle, name.as_ptr()) };
        opened(done, path)
    }

    /// True after a failed assertion.
    pub(super) fn failed(&mut self) -> bool {
        // SAFETY: the handle is live until drop.
        unsafe { (self.failed)(self.handle) != 0 }
    }
}

fn c_path(path: &Path) -> Result<CString, RtlsimError> {
    CString::new(path.as_os_str().as_encoded_bytes()).map_err(|e| RtlsimError::Io {
        path: path.into(),
        source: e.into(),
    })
}

fn opened(done: i32, path: &Path) -> Result<(), RtlsimError> {
    if done != 0 {
        return Ok(());
    }
    Err(RtlsimError::Io {
        path: path.into(),
        source: std::io::Error::other("the verilated model cannot open it"),
    })
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: the handle came from cnna_new and is freed once.
        unsafe { (self.free)(self.handle) }
    }
}
