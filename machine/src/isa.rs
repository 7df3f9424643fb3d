//! The command set: 16 words of 32 bits each, fields at fixed bit positions for every configuration.
//!
//! The device fetches one stream and deals commands to four in-order queues. Between queues go tokens: a command waits
//! for one token from each queue in its `wait` mask before it starts, and sends one token to each queue in its `signal`
//! mask when it is complete. Stream order must be an order in which the commands could run one by one.
//!
//! Each table row is `name: type = word, low bit, width; "meaning"`; the struct, the encoder and decoder, the RTL's
//! constants and `docs/commands.md` come from it. What each command does is written as the loop nest in its docstring.

use crate::error::MachineError;
use std::fmt::Write as _;

/// 32-bit words of one command.
pub const COMMAND_WORDS: usize = 16;
/// Bytes of one command.
pub const COMMAND_BYTES: usize = COMMAND_WORDS * 4;

/// The four queues, in token order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Queue {
    /// Activations from memory into the activation buffer.
    Load = 0,
    /// Weights and biases from memory into their buffers.
    Weight = 1,
    /// The array, from buffers to the output buffer.
    Compute = 2,
    /// The output buffer to memory; marks and the end.
    Store = 3,
}

impl Queue {
    /// All queues in token order.
    pub const ALL: [Queue; 4] = [Queue::Load, Queue::Weight, Queue::Compute, Queue::Store];
    /// The bit of this queue in a token mask.
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }
    /// As people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Queue::Load => "load",
            Queue::Weight => "weight",
            Queue::Compute => "compute",
            Queue::Store => "store",
        }
    }
    /// From two bits.
    pub const fn from_bits(bits: u32) -> Queue {
        match bits & 3 {
            0 => Queue::Load,
            1 => Queue::Weight,
            2 => Queue::Compute,
            _ => Queue::Store,
        }
    }
}

/// Queues between which tokens exist, as (from, to).
pub const TOKEN_PATHS: [(Queue, Queue); 8] = [
    (Queue::Load, Queue::Compute),
    (Queue::Weight, Queue::Compute),
    (Queue::Compute, Queue::Load),
    (Queue::Compute, Queue::Weight),
    (Queue::Compute, Queue::Store),
    (Queue::Store, Queue::Load),
    (Queue::Store, Queue::Weight),
    (Queue::Store, Queue::Compute),
];

/// Position of a field in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name, also in the RTL.
    pub name: &'static str,
    /// Word of the command.
    pub word: usize,
    /// Lowest bit in the word.
    pub low: u32,
    /// Bits.
    pub width: u32,
    /// Two's complement when true.
    pub signed: bool,
    /// Meaning and unit.
    pub doc: &'static str,
}

impl Field {
    /// Smallest and largest legal value.
    pub const fn range(&self) -> (i64, i64) {
        if self.signed {
            (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1)
        } else {
            (0, (1 << self.width) - 1)
        }
    }

    fn put(
        &self,
        command: &'static str,
        words: &mut [u32; COMMAND_WORDS],
        value: i64,
    ) -> Result<(), MachineError> {
        let (min, max) = self.range();
        if value < min || value > max {
            return Err(MachineError::Field {
                command,
                field: self.name,
                value,
                min,
                max,
            });
        }
        let mask = ((1u64 << self.width) - 1) as u32;
        words[self.word] |= (value as u32 & mask) << self.low;
        Ok(())
    }

    fn get(&self, words: &[u32; COMMAND_WORDS]) -> i64 {
        let raw = (i64::from(words[self.word]) >> self.low) & ((1i64 << self.width) - 1);
        if self.signed && raw >> (self.width - 1) == 1 {
            raw - (1 << self.width)
        } else {
            raw
        }
    }
}

/// Named values of a field: constants, and all of them in a list.
macro_rules! values {
    ($(#[$meta:meta])* mod $module:ident { $($(#[$doc:meta])* $name:ident = $value:literal)* }) => {
        $(#[$meta])*
        pub mod $module {
            $($(#[$doc])* pub const $name: i32 = $value;)*
            /// All of them, by name.
            pub const ALL: &[(&str, i32)] = &[$((stringify!($name), $name)),*];
        }
    };
}

macro_rules! command {
    ($(#[$meta:meta])* $name:ident { $($field:ident = $word:literal, $low:literal, $width:literal, $signed:literal; $doc:literal)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $(#[doc = $doc] pub $field: i32,)* }
        impl $name {
            /// Positions of all fields.
            pub const FIELDS: &'static [Field] = &[$(Field {
                name: stringify!($field), word: $word, low: $low, width: $width, signed: $signed, doc: $doc,
            },)*];
            fn encode_into(&self, words: &mut [u32; COMMAND_WORDS]) -> Result<(), MachineError> {
                let mut fields = Self::FIELDS.iter();
                $({
                    let f = fields.next().expect("one field a name");
                    // Unsigned 32-bit fields travel in the bits of an i32.
                    let v = if f.width == 32 { i64::from(self.$field as u32) } else { i64::from(self.$field) };
                    f.put(stringify!($name), words, v)?;
                })*
                Ok(())
            }
            /// Reads the fields of an encoded command.
            pub fn decode(words: &[u32; COMMAND_WORDS]) -> Self {
                let mut fields = Self::FIELDS.iter();
                $(let $field = fields.next().expect("one field a name").get(words) as i32;)*
                $name { $($field,)* }
            }
        }
    };
}

command! {
    /// Word 0 of every command.
    Head {
        queue = 0, 0, 2, false; "queue: 0 load, 1 weight, 2 compute, 3 store"
        kind = 0, 2, 6, false; "kind within the queue"
        wait = 0, 8, 4, false; "mask of queues from which one token is awaited"
        signal = 0, 12, 4, false; "mask of queues to which one token is sent when complete"
        tag = 0, 16, 16, false; "layer index, for errors and traces"
    }
}

command! {
    /// Load: one row of all channels (or some columns of it) into one row bank of the activation buffer.
    ///
    /// ```text
    /// for seg in 0..seg_count: for beat in 0..seg_beats:
    ///   8 words at ddr + seg * seg_stride + beat * beat_bytes
    ///   stride == 1: bank[row_bank] words from line * 4T on, contiguous over all beats
    ///   stride s:    word x goes to plane x % s, column x / s of its channel; a channel is channel_beats beats and
    ///                begins on a line; planes lie plane_pitch lines apart
    ///   parity:      channels of channel_beats beats, from the set in which `line` lies on: one of the lower set is followed by
    ///                one in the same lines of the upper set, half of the buffer further on; that by the lower set's next lines
    /// target RESIDUAL: bank[row_bank % 2] of the residual buffer instead, lines modulo its depth; stride 1
    /// local:           the beats are the next ones of local stores, and nothing is read from memory
    /// both:            stride 1, row_bank 0 or 2: with each beat comes one for the same line of the next row bank: of the local
    ///                  store, or of memory, `second` bytes further on, by the second port
    /// ```
    Load {
        ddr = 1, 0, 32, false; "byte offset of the first segment in the window"
        seg_beats = 2, 0, 16, false; "beats of a segment"
        seg_count = 2, 16, 16, false; "segments"
        seg_stride = 3, 0, 32, false; "bytes between segments"
        line = 4, 0, 16, false; "first line in the bank"
        row_bank = 4, 16, 2, false; "row bank: row mod 4"
        stride = 4, 20, 3, false; "1, 2 or 4: columns dealt to this many planes"
        target = 4, 31, 1, false; "buffer: 0 activations, 1 residuals"
        channel_beats = 5, 0, 16, false; "beats of one channel's row (used when stride > 1, or parity)"
        plane_pitch = 5, 16, 16, false; "lines between column planes"
        parity = 4, 30, 1, false; "channels go to the sets of the buffer in turn, two to the same lines"
        local = 4, 29, 1, false; "the beats come from local stores instead of memory"
        both = 4, 28, 1, false; "two rows at once: a second beat goes to the next row bank"
        second = 6, 0, 32, false; "bytes from the first row to the second (both, from memory)"
    }
}

values! {
    /// Kinds of weight commands.
    mod weight_kind {
        /// Rows of 8 plain weights a lane, one beat each.
        PLAIN = 0
        /// Rows of one 3x3 kernel a lane: 9 words, packed without gaps.
        KERNEL = 1
        /// Biases of 64 bits, on port 0.
        BIAS = 2
        /// Words of an activation set, one beat each, on port 0.
        SET = 3
        /// Rows of 8 plain weights a lane, 8 bits each: the upper ones of words, whose lower bits are zero.
        NARROW = 4
    }
}

values! {
    /// Buffers that loads fill.
    mod target {
        /// The activation buffer.
        ACTIVATIONS = 0
        /// The residual buffer.
        RESIDUAL = 1
    }
}

command! {
    /// Weight: rows for the weight buffer over all weight ports, or biases over port 0.
    ///
    /// ```text
    /// for port p: lanes(p) = lanes_high if p < split else lanes_low, beats(p) likewise
    ///   beats(p) beats from ddr + p * port_stride, one stream of rows; in a row lanes p, p + P, p + 2P, ...
    ///   PLAIN: 8 words each; KERNEL: 9 words each; row r lands in weight buffer row dest + r
    ///   NARROW: 8 bytes each, word = byte << (word bits - 8); the stream has a whole number of beats
    /// BIAS: every 64 bits one bias, from bias buffer row dest, element 0 on: 48 bits of bias, 16 of its channel (see act)
    /// SET:  every beat one word of a set, from word dest on: words SET_PITCH * set + i are table entries (base in bits 15:0,
    ///       delta in 31:16), word SET_PITCH * set + entries holds lo, hi and slope in bits 15:0, 31:16 and 47:32
    /// ```
    Weight {
        ddr = 1, 0, 32, false; "byte offset of port 0's block in the window"
        port_stride = 2, 0, 32, false; "bytes between the ports' blocks"
        dest = 3, 0, 16, false; "first row of the buffer"
        lanes_high = 4, 0, 8, false; "lanes of the ports below split"
        lanes_low = 4, 8, 8, false; "lanes of the other ports"
        split = 4, 16, 8, false; "first port with lanes_low lanes"
        beats_high = 5, 0, 32, false; "beats of each port below split"
        beats_low = 6, 0, 32, false; "beats of each other port"
    }
}

/// Activation sets; a command names one, so that the next layer's comes while this one's is in use.
pub const SETS: usize = 2;
/// Words from one set to the next; see [`Weight`].
pub const SET_PITCH: usize = 1024;

values! {
    /// Functions of a result, behind saturation.
    mod act {
        /// `max(0, y)` if `relu`, else nothing.
        NONE = 0
        /// `min(hi, max(lo, y))` of the set.
        CLIP = 1
        /// `y >= 0 ? y : (y * slope + 2^14) >> 15`, then the clip; with `per_channel` the channel's slope.
        SLOPE = 2
        /// The set's table: `base[i] + ((delta[i] * f + 64) >> 7)`, then the clip.
        TABLE = 3
    }
}

values! {
    /// Modes of the array.
    mod mode {
        /// 3x3 kernels as F(2x2, 3x3): T tiles of 2x2 outputs.
        WINOGRAD = 0
        /// One channel and tap a step: T blocks of 4x4 outputs.
        DIRECT = 1
        /// One input a step, 8 outputs a lane: fully connected, up to 2 min(T, 2) images.
        VECTOR = 2
        /// Maximum over the taps of one channel: T blocks of 4x4 outputs, no weights.
        POOL = 3
    }
}

command! {
    /// Compute: `tiles` passes side by side over one group of output channels; `Head::kind` is 0.
    ///
    /// ```text
    /// for tile: x_tile = x_start + tile * x_step
    ///   for ky, kx, c (POOL: for c, ky, kx):                                    one step, one cycle
    ///     window rows y..y+4, columns x..x+4T of channel plane (py, px, c), zero (POOL: minimum) outside the map
    ///     acc[pixel][lane] += window[pixel] * weight[lane]      (cleared at the first step if `first`)
    ///   if `last`: add bias, requantise, saturate, add the residual, saturate, activate, pool, write the output buffer
    ///              (`residual_last`: ... saturate, activate, add the residual, saturate, pool, write)
    /// y, x, py, px follow the tap: the phase counts to `stride` and carries into the position by `dilation`.
    /// WINOGRAD: one kernel of 9 words a step; VECTOR: one row of 8 words a step; DIRECT: 8 steps a row, 4 if `paired`.
    /// `paired`: c counts pairs of channels, which lie in the same lines of both sets of the buffer:
    ///     acc[pixel][lane] += (lower[pixel] + second[lane]) * (upper[pixel] + first[lane])      (the step's two weights)
    ///   and lane 0's sums, whose weights are zero, are taken from those of each other lane: lane m makes channel m - 1.
    ///   These sums are the same for every group: they stay, each drained pass's behind those of the pass before, from the first
    ///   of a command that `begins` on, KEPT_PASSES of them. A command that `reuses` them has results in all of its lanes,
    ///   lane m makes channel m, and its passes take them in the order in which they were kept.
    /// diag (WINOGRAD only): channel c reaches lane c alone, and a weight row serves all channels of a tap.
    /// A residual is read where the result is written: same bank, line modulo the residual buffer's depth; not with `pool`.
    /// ```
    Compute {
        mode = 1, 0, 2, false; "array mode"
        first = 1, 2, 1, false; "clear the accumulators at each pass's first step"
        last = 1, 3, 1, false; "drain the accumulators after each pass's last step"
        relu = 1, 4, 1, false; "apply max(0, y)"
        pool = 1, 5, 1, false; "2x2 maximum of the results before they are written"
        paired = 1, 6, 1, false; "DIRECT: two channels a step; lane 0, without weights and results, counts as an output channel"
        diag = 1, 7, 1, false; "lane m sees channel m alone (WINOGRAD)"
        rows = 1, 8, 3, false; "valid result rows before pooling (VECTOR: images)"
        residual = 1, 11, 1, false; "add the residual buffer's words to the saturated results"
        act = 1, 12, 2, false; "function of the results: 0 relu or none, 1 clip, 2 slope, 3 table"
        act_set = 1, 14, 1, false; "activation set"
        per_channel = 1, 15, 1, false; "the bias's upper 16 bits add to the shift (act 2: are the slope)"
        shift = 1, 16, 8, true; "requantisation shift, -16..=47"
        bias_row = 1, 24, 8, false; "first row of the group's biases, modulo 256"
        tiles = 2, 0, 16, false; "passes"
        lanes = 2, 16, 16, false; "output channels of the group (POOL: channels)"
        c_count = 3, 0, 16, false; "channels"
        kx_count = 3, 16, 16, false; "taps in x"
        ky_count = 4, 0, 16, false; "taps in y"
        weight_row = 4, 16, 16, false; "first row of the weight buffer"
        ring_lines = 5, 0, 16, false; "lines of the ring in each row bank"
        ring_end = 5, 16, 16, false; "line after the ring's last"
        row_line = 6, 0, 16, false; "line of slot floor(y_start / 4), first channel"
        row_pitch = 6, 16, 16, false; "lines of one slot of four rows"
        c_pitch = 7, 0, 16, false; "lines of one channel"
        row_step = 7, 16, 16, false; "lines to the next tap row's slot when it does not carry"
        row_step_carry = 8, 0, 16, false; "the same when the row within the slot carries"
        x_step = 8, 16, 16, true; "columns between passes"
        x_start = 9, 0, 16, true; "column of the first window"
        y_start = 9, 16, 16, true; "row of the first window; its low two bits are the row within the slot"
        w_full = 10, 0, 16, false; "columns of the smallest column plane"
        h_full = 10, 16, 16, false; "rows of the smallest row plane"
        out_line = 11, 0, 16, false; "first line of the output buffer"
        out_row_pitch = 11, 16, 16, false; "lines between rows of one output bank"
        out_c_pitch = 12, 0, 16, false; "lines between output channels"
        out_width = 12, 16, 16, false; "valid result columns before pooling (VECTOR: outputs)"
        plane_pitch = 13, 0, 16, false; "lines between column planes"
        plane_y_pitch = 13, 16, 16, false; "lines between row planes"
        plane_x0 = 14, 0, 16, false; "lines to the first column plane"
        plane_y0 = 14, 16, 16, false; "lines to the first row plane"
        stride = 15, 0, 3, false; "phases of a tap: 1, 2 or 4"
        px0 = 15, 3, 2, false; "first column phase"
        py0 = 15, 5, 2, false; "first row phase"
        w_rem = 15, 7, 2, false; "column planes with one column more"
        h_rem = 15, 9, 2, false; "row planes with one row more"
        dilation_x = 15, 11, 6, false; "columns a tap moves when the phase carries"
        dilation_y = 15, 17, 6, false; "rows a tap moves when the phase carries"
        reuses = 15, 24, 1, false; "paired: what is too much is that of earlier passes, and lane 0 has a result"
        begins = 15, 25, 1, false; "paired: the first pass is the first of those whose sums are kept or reused"
        residual_last = 15, 23, 1, false; "the residual is added behind the activation instead of before it"
        lacking = 15, 26, 4, false; "valid result columns that rows from short_row on have less (DIRECT)"
        short_row = 15, 30, 2, false; "first such row of the four; 0: none"
    }
}

values! {
    /// Kinds of store commands.
    mod store_kind {
        /// Output buffer to memory.
        STORE = 0
        /// Wait until all writes are answered, then write the counters' record.
        MARK = 1
        /// The program is complete.
        END = 2
        /// Complete when all earlier writes are answered.
        FENCE = 3
    }
}

command! {
    /// Store: rows of a group of output channels from the output buffer to memory, or a mark, a fence, or the end.
    ///
    /// ```text
    /// STORE: for row in 0..rows: lines of bank (bank + row) % 2 from line + (bank + row) / 2 * row_pitch on, read contiguously:
    ///   for seg in 0..seg_count: for beat in 0..seg_beats:
    ///     8 words to ddr + row * row_stride + seg * seg_stride + beat * beat_bytes
    ///   local: to the local loads that follow in the stream, in that order; complete when they have taken all
    ///   both:  local, bank 0: with each beat goes the one of the same line of bank 1, so that `rows` counts pairs of rows
    /// MARK:  8 counters of 32 bits to ddr (see `counters.rs`), after every earlier write has been answered
    /// FENCE: nothing, after every earlier write has been answered
    /// ```
    Store {
        ddr = 1, 0, 32, false; "byte offset in the window"
        seg_beats = 2, 0, 16, false; "beats of a segment"
        seg_count = 2, 16, 16, false; "segments"
        seg_stride = 3, 0, 32, false; "bytes between segments"
        line = 4, 0, 16, false; "first line of the bank"
        bank = 4, 16, 1, false; "output row bank: row mod 2"
        rows = 4, 17, 3, false; "rows"
        row_stride = 5, 0, 32, false; "bytes between rows"
        row_pitch = 6, 0, 16, false; "lines between rows of one bank"
        local = 4, 20, 1, false; "the beats go to local loads instead of memory"
        both = 4, 21, 1, false; "two rows at once: a second beat comes from the other bank (local)"
    }
}

/// Any command, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// See [`Load`].
    Load(Load),
    /// See [`Weight`].
    Weight(Weight),
    /// See [`Compute`].
    Compute(Compute),
    /// See [`Store`].
    Store(Store),
}

impl Body {
    /// True of a load or store whose beats go from one to the other, over no port.
    pub fn is_local(&self) -> bool {
        match self {
            Body::Load(l) => l.local != 0,
            Body::Store(s) => s.local != 0,
            Body::Weight(_) | Body::Compute(_) => false,
        }
    }
}

/// A whole command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Kind within the queue (`weight_kind`, `store_kind`; 0 otherwise).
    pub kind: i32,
    /// Token mask to wait for.
    pub wait: u32,
    /// Token mask to send.
    pub signal: u32,
    /// Layer index.
    pub tag: u16,
    /// The queue's own fields.
    pub body: Body,
}

impl Command {
    /// The queue that runs it.
    pub fn queue(&self) -> Queue {
        match self.body {
            Body::Load(_) => Queue::Load,
            Body::Weight(_) => Queue::Weight,
            Body::Compute(_) => Queue::Compute,
            Body::Store(_) => Queue::Store,
        }
    }

    /// The 16 words. Errors: a field outside its bits.
    pub fn encode(&self) -> Result<[u32; COMMAND_WORDS], MachineError> {
        let mut w = [0; COMMAND_WORDS];
        Head {
            queue: self.queue() as i32,
            kind: self.kind,
            wait: self.wait as i32,
            signal: self.signal as i32,
            tag: i32::from(self.tag),
        }
        .encode_into(&mut w)?;
        match &self.body {
            Body::Load(b) => b.encode_into(&mut w)?,
            Body::Weight(b) => b.encode_into(&mut w)?,
            Body::Compute(b) => b.encode_into(&mut w)?,
            Body::Store(b) => b.encode_into(&mut w)?,
        }
        Ok(w)
    }

    /// Decodes the bytes of one command as they lie in memory; panics when there are not [`COMMAND_BYTES`] of them.
    pub fn from_bytes(bytes: &[u8]) -> Command {
        assert_eq!(bytes.len(), COMMAND_BYTES, "one whole command");
        let mut words = [0; COMMAND_WORDS];
        for (word, b) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        }
        Command::decode(&words)
    }

    /// Decodes 16 words; every bit pattern is some command.
    pub fn decode(w: &[u32; COMMAND_WORDS]) -> Command {
        let head = Head::decode(w);
        let body = match Queue::from_bits(head.queue as u32) {
            Queue::Load => Body::Load(Load::decode(w)),
            Queue::Weight => Body::Weight(Weight::decode(w)),
            Queue::Compute => Body::Compute(Compute::decode(w)),
            Queue::Store => Body::Store(Store::decode(w)),
        };
        Command {
            kind: head.kind,
            wait: head.wait as u32,
            signal: head.signal as u32,
            tag: head.tag as u16,
            body,
        }
    }
}

/// The tables by name, in the order of the documentation.
pub const TABLES: [(&str, &[Field]); 5] = [
    ("head", Head::FIELDS),
    ("load", Load::FIELDS),
    ("weight", Weight::FIELDS),
    ("compute", Compute::FIELDS),
    ("store", Store::FIELDS),
];

/// The named values by the field that takes them, in the order of the documentation.
pub const VALUES: [(&str, &[(&str, i32)]); 5] = [
    ("weight_kind", weight_kind::ALL),
    ("target", target::ALL),
    ("act", act::ALL),
    ("mode", mode::ALL),
    ("store_kind", store_kind::ALL),
];

/// The command set as Markdown: `docs/commands.md` must equal it.
pub fn describe() -> String {
    let mut s = String::from(
        "# Commands\n\nGenerated from `machine/src/isa.rs`; a test compares them. 16 words of 32 bits a command.\n",
    );
    for (name, fields) in TABLES {
        let _ = write!(
            s,
            "\n## {name}\n\n| field | word | bits | meaning |\n|---|---|---|---|\n"
        );
        for f in fields {
            let sign = if f.signed { ", signed" } else { "" };
            let _ = writeln!(
                s,
                "| {} | {} | {}:{}{sign} | {} |",
                f.name,
                f.word,
                f.low + f.width - 1,
                f.low,
                f.doc
            );
        }
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_fields_of_a_command_share_a_bit() {
        for (name, fields) in TABLES.iter().skip(1) {
            let mut used = [0u64; COMMAND_WORDS];
            for f in Head::FIELDS.iter().chain(*fields) {
                let mask = ((1u64 << f.width) - 1) << f.low;
                assert!(
                    f.low + f.width <= 32 && used[f.word] & mask == 0,
                    "{name}.{}",
                    f.name
                );
                used[f.word] |= mask;
            }
        }
    }

    #[test]
    fn encoding_and_decoding_are_inverse_at_the_extremes() {
        for pick in [0, 1] {
            let mut words = [0u32; COMMAND_WORDS];
            for f in Compute::FIELDS {
                let (lo, hi) = f.range();
                f.put("compute", &mut words, if pick == 0 { lo } else { hi })
                    .unwrap();
            }
            words[0] |= 2 | 0x5a00_0f00;
            let c = Command::decode(&words);
            assert_eq!(c.queue(), Queue::Compute);
            assert_eq!(c.encode().unwrap(), words);
        }
    }

    #[test]
    fn a_value_too_large_for_its_field_names_the_field() {
        let c = Command {
            kind: 0,
            wait: 0,
            signal: 0,
            tag: 0,
            body: Body::Load(Load {
                line: 70_000,
                ..Load::default()
            }),
        };
        let e = c.encode().unwrap_err().to_string();
        assert!(e.contains("`line` = 70000"), "{e}");
    }
}
