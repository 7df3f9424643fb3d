//! The counters of a run: one list, from which the record of a mark, the reports and the RTL's wiring follow.
//!
//! The device counts modulo 2^32; what is read from two of its records is their difference modulo 2^32. Sums over layers and
//! runs do not wrap.

use crate::regs::{self, Reg};

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident = $register:ident)*) => {
        /// Counters since the start of a run, or between two of its marks.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct Counters { $($(#[$doc])* pub $field: u64,)* }

        /// The registers in the order of a mark's record, 32 bits each.
        pub const REGISTERS: [Reg; [$(stringify!($field)),*].len()] = [$(regs::$register),*];

        impl Counters {
            /// From a record.
            pub fn from_record(record: Record) -> Self {
                let [$($field),*] = record;
                Counters { $($field: $field.into(),)* }
            }
            /// As the device holds them: modulo 2^32.
            pub fn record(&self) -> Record {
                [$(self.$field as u32),*]
            }
            /// What was counted since `before`, as the device counts: modulo 2^32.
            pub fn since(&self, before: &Counters) -> Counters {
                Counters { $($field: (self.$field as u32).wrapping_sub(before.$field as u32).into(),)* }
            }
        }

        impl std::ops::AddAssign for Counters {
            fn add_assign(&mut self, other: Counters) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

counters! {
    /// Cycles.
    cycles = CYCLES
    /// Results that saturation changed (a number).
    saturated = SATURATED
    /// Cycles in which the array took a step.
    busy = BUSY
    /// Cycles in which compute waited for activations.
    wait_load = WAIT_LOAD
    /// Cycles in which compute waited for weights and not for activations.
    wait_weight = WAIT_WEIGHT
    /// Cycles in which compute waited for the store only.
    wait_store = WAIT_STORE
    /// Beats read on the activation port (a number).
    read_beats = READ_BEATS
    /// Beats written (a number).
    write_beats = WRITE_BEATS
}

/// A mark's record.
pub type Record = [u32; REGISTERS.len()];
/// Bytes of a mark's record.
pub const RECORD_BYTES: usize = size_of::<Record>();

impl Counters {
    /// From a record's bytes in memory.
    pub fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Self {
        let mut words = bytes.chunks_exact(4);
        Self::from_record(std::array::from_fn(|_| {
            let word = words.next().and_then(|w| w.try_into().ok());
            u32::from_le_bytes(word.expect("four bytes a counter"))
        }))
    }

    /// A record's bytes in memory.
    pub fn to_bytes(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        for (to, word) in bytes.chunks_exact_mut(4).zip(self.record()) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// What a register reads as, if it is one of the counters.
    pub fn read(&self, register: Reg) -> Option<u32> {
        let at = REGISTERS.iter().position(|r| *r == register)?;
        Some(self.record()[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_are_written_and_named_as_their_registers() {
        let record = std::array::from_fn(|i| 0x8000_0000 + i as u32);
        let c = Counters::from_record(record);
        assert_eq!(c.record(), record);
        assert_eq!(Counters::from_bytes(&c.to_bytes()), c);
        let named = toml::Table::try_from(c).expect("numbers");
        for (i, r) in REGISTERS.iter().enumerate() {
            assert_eq!(c.read(*r), Some(record[i]));
            let name = &r.name.to_lowercase();
            assert_eq!(named[name].as_integer(), Some(record[i].into()));
        }
        assert_eq!(c.read(regs::STATUS), None);
    }

    #[test]
    fn differences_wrap_and_sums_do_not() {
        let at = |cycles| Counters {
            cycles,
            ..Counters::default()
        };
        let mut sum = at(5).since(&at(0xffff_fffe));
        assert_eq!(sum, at(7));
        sum += at(0xffff_ffff);
        assert_eq!(sum, at(0x1_0000_0006));
    }
}
