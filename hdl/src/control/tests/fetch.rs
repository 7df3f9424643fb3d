//! Dealing and refusing commands, against the rules on decoded commands.

use super::{edge, ready, seeds, settle};
use crate::control::Fetch;
use cnna_emit::dff::ClockReset;
use cnna_machine::Board;
use cnna_machine::isa::{
    COMMAND_BYTES, COMMAND_WORDS, Compute, Head, Load, Queue, Store, mode, store_kind, weight_kind,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rust_hdl_core::prelude::*;

/// A field that would hang an engine.
fn malformed(words: &[u32; COMMAND_WORDS], lanes: i32) -> bool {
    let head = Head::decode(words);
    let no_stride = |s: i32| ![1, 2, 4].contains(&s);
    match Queue::from_bits(head.queue as u32) {
        Queue::Load => {
            let l = Load::decode(words);
            l.seg_beats == 0 || l.seg_count == 0 || no_stride(l.stride)
        }
        Queue::Weight => head.kind > weight_kind::SET,
        Queue::Compute => {
            let c = Compute::decode(words);
            [c.tiles, c.lanes, c.c_count, c.kx_count, c.ky_count].contains(&0)
                || no_stride(c.stride)
                || (c.mode != mode::POOL && c.lanes > lanes)
        }
        Queue::Store => {
            let s = Store::decode(words);
            head.kind > store_kind::FENCE
                || (head.kind == store_kind::STORE
                    && [s.seg_beats, s.seg_count, s.rows].contains(&0))
        }
    }
}

/// Mostly well-formed: small fields, one of them often zero.
fn command(r: &mut StdRng) -> [u32; COMMAND_WORDS] {
    let mut words: [u32; COMMAND_WORDS] = std::array::from_fn(|_| {
        r.random_range(1..8u32) | r.random_range(1..8u32) << 16 | r.random_range(0..4) << 20
    });
    words[0] = r.random_range(0..4) | r.random_range(0..5) << 2;
    words[4] = words[4] & !(7 << 20) | [1, 2, 4][r.random_range(0..3)] << 20;
    if words[0] & 3 == 3 {
        words[4] = words[4] & !(7 << 17) | r.random_range(0..8) << 17;
    }
    if words[0] & 3 == 2 {
        words[4] = r.random_range(1..4) | r.random_range(0..64) << 16;
        words[1] = r.random_range(0..4);
    }
    words[15] = words[15] & !7 | [1, 2, 4][r.random_range(0..3)];
    if r.random_ratio(1, 3) {
        let at = [0, 2, 3, 4, 15][r.random_range(0..5)];
        words[at] &= [0xffff_0000, 0x0000_ffff, 0xff8f_ffff, 0xffff_fff8][r.random_range(0..4)];
    }
    words
}

#[test]
fn commands_go_to_their_queue_when_it_has_room_and_malformed_ones_stop_the_stream() {
    let (mut refused, mut dealt) = (0usize, 0usize);
    for (seed, word) in seeds().into_iter().flat_map(|s| [(s, "8"), (s, "16")]) {
        let set = [("word", word), ("lanes", "5")].map(|(k, v)| (k.to_string(), v.to_string()));
        let accelerator = Board::load("ultra96", &set).expect("in range").accelerator;
        let beats = COMMAND_BYTES / accelerator.beat_bytes();
        let mut r = StdRng::seed_from_u64(seed);
        let mut dut = ready!(Fetch::new(&accelerator));
        'stream: for n in 0..12 {
            let c = command(&mut r);
            let bad = malformed(&c, 5);
            let (h, l, k, s) = (
                Head::decode(&c),
                Load::decode(&c),
                Compute::decode(&c),
                Store::decode(&c),
            );
            // The early words are there with the last beat, the stride comes with it.
            let wide = |v: i32| Bits::<16>::from(v as u64);
            dut.queue.next = (h.queue as u64).into();
            dut.kind.next = (h.kind as u64).into();
            dut.load_seg_beats.next = wide(l.seg_beats);
            dut.load_seg_count.next = wide(l.seg_count);
            dut.load_stride.next = (l.stride as u64).into();
            dut.mode.next = (k.mode as u64).into();
            dut.tiles.next = wide(k.tiles);
            dut.lanes.next = wide(k.lanes);
            dut.c_count.next = wide(k.c_count);
            dut.kx_count.next = wide(k.kx_count);
            dut.ky_count.next = wide(k.ky_count);
            dut.store_seg_beats.next = wide(s.seg_beats);
            dut.store_seg_count.next = wide(s.seg_count);
            dut.store_rows.next = (s.rows as u64).into();
            dut.stride.next = (r.random_range(0..8u64)).into();
            let mut taken = 0;
            while taken < beats {
                dut.rvalid.next = r.random();
                dut.rlast.next = r.random();
                dut.ready.next = r.random_range(0..16u64).into();
                settle(&mut dut);
                assert!(dut.rready.val() && !dut.dealt.val() && dut.push.val().to_u64() == 0);
                assert_eq!(dut.take.val(), dut.rvalid.val());
                assert_eq!(dut.retire.val(), dut.rvalid.val() && dut.rlast.val());
                taken += usize::from(dut.take.val());
                edge!(dut, false);
            }
            dut.stride.next = (k.stride as u64).into();
            // Full: no beat is taken until the queue has room.
            for wait in 0.. {
                let ready = r.random_range(0..16u64) & r.random_range(0..16u64);
                dut.rvalid.next = true;
                dut.ready.next = ready.into();
                settle(&mut dut);
                assert!(!dut.rready.val() && !dut.take.val());
                let target = 1 << h.queue;
                let push = !bad && ready & target != 0;
                assert_eq!(
                    dut.push.val().to_u64(),
                    if push { target } else { 0 },
                    "seed {seed}, command {n}: {c:x?}"
                );
                assert_eq!((dut.dealt.val(), dut.bad.val()), (push, bad && wait > 0));
                edge!(dut, false);
                if push {
                    dealt += 1;
                    break;
                }
                if bad && wait > 3 {
                    refused += 1;
                    break 'stream;
                }
            }
        }
    }
    // One seed alone may see only one of the two.
    let enough = |n: usize| n >= seeds().len() / 2;
    assert!(
        enough(refused) && enough(dealt),
        "{refused} refused, {dealt} dealt"
    );
}
