//! Wrong commands are errors that name the command, never panics.

use cnna_machine::Board;
use cnna_machine::isa::{
    Body, Command, Compute, Load, Queue, Store, Weight, mode, store_kind, target, weight_kind,
};
use cnna_sim::buffers::Buffers;
use cnna_sim::exec::{self, Fault, run_in_order};

fn board() -> Board {
    Board::load("ultra96", &[]).expect("built in")
}

fn command(kind: i32, wait: u32, body: Body) -> Command {
    Command {
        kind,
        wait,
        signal: 0,
        tag: 3,
        body,
    }
}

fn end() -> Command {
    command(store_kind::END, 0, Body::Store(Store::default()))
}

fn load() -> Load {
    Load {
        seg_beats: 1,
        seg_count: 1,
        stride: 1,
        ..Load::default()
    }
}

fn compute() -> Compute {
    Compute {
        mode: mode::DIRECT,
        first: 1,
        last: 1,
        rows: 1,
        tiles: 1,
        lanes: 1,
        c_count: 1,
        kx_count: 1,
        ky_count: 1,
        ring_lines: 1,
        ring_end: 1,
        row_pitch: 1,
        c_pitch: 1,
        w_full: 1,
        h_full: 1,
        out_row_pitch: 1,
        out_width: 1,
        stride: 1,
        dilation_x: 1,
        dilation_y: 1,
        x_step: 8,
        ..Compute::default()
    }
}

#[test]
fn a_token_that_nobody_sent_is_an_error_that_names_both() {
    let c = command(0, Queue::Load.bit(), Body::Compute(compute()));
    let e = run_in_order(&[c, end()], &board().accelerator, &mut []).expect_err("no token");
    assert_eq!((e.index, e.queue, e.tag), (0, Queue::Compute, 3));
    assert_eq!(e.fault, Fault::Token { from: Queue::Load });
}

#[test]
fn a_stream_without_end_is_an_error() {
    let e = run_in_order(&[], &board().accelerator, &mut []).expect_err("no end");
    assert_eq!(e.fault, Fault::NoEnd);
}

#[test]
fn transfers_beyond_the_window_or_a_buffer_are_errors() {
    let a = board().accelerator;
    let mut b = Buffers::new(&a);
    let mut window = [0u8; 64];
    let beyond = Load { ddr: 60, ..load() };
    assert!(matches!(
        exec::load(&beyond, &mut b, &window),
        Err(Fault::Window {
            from: 60,
            to: 76,
            bytes: 64
        })
    ));
    let full = Load {
        line: a.act_depth as i32,
        ..load()
    };
    assert!(matches!(
        exec::load(&full, &mut b, &window),
        Err(Fault::Buffer { .. })
    ));
    let weight = Weight {
        dest: a.weight_depth as i32,
        lanes_low: 1,
        beats_low: 1,
        ..Weight::default()
    };
    assert!(matches!(
        exec::weight(weight_kind::PLAIN, &weight, &mut b, &window),
        Err(Fault::Buffer { .. })
    ));
    assert!(matches!(
        exec::weight(7, &weight, &mut b, &window),
        Err(Fault::Field { field: "kind", .. })
    ));
    let store = Store {
        ddr: -16,
        seg_beats: 1,
        seg_count: 1,
        rows: 1,
        ..Store::default()
    };
    assert!(matches!(
        exec::store(&store, &mut b, &mut window),
        Err(Fault::Window { .. })
    ));
    let store = Store {
        line: a.out_depth as i32,
        ddr: 0,
        ..store
    };
    assert!(matches!(
        exec::store(&store, &mut b, &mut window),
        Err(Fault::Buffer { .. })
    ));
}

#[test]
fn a_local_load_takes_what_local_stores_left_and_no_more() {
    let a = board().accelerator;
    let mut b = Buffers::new(&a);
    let mut none = [];
    b.out[1][..16].copy_from_slice(&std::array::from_fn::<i16, 16, _>(|i| i as i16 + 1));
    let store = Store {
        bank: 1,
        seg_beats: 1,
        seg_count: 2,
        rows: 1,
        local: 1,
        ..Store::default()
    };
    assert_eq!(exec::store(&store, &mut b, &mut none), Ok(()));
    let load = Load {
        seg_beats: 2,
        seg_count: 1,
        stride: 1,
        row_bank: 2,
        local: 1,
        ..Load::default()
    };
    assert_eq!(exec::load(&load, &mut b, &none), Ok(()));
    assert_eq!(b.act[2][..16], b.out[1][..16]);
    let bytes = 16 * a.word.bytes();
    let missing = |rows, rows_there| Fault::Local {
        rows,
        bytes: rows * bytes,
        there: rows_there * bytes,
        rows_there,
    };
    assert_eq!(exec::load(&load, &mut b, &none), Err(missing(1, 0)));
    // Two rows at once: of both banks, to two neighbouring ones, by commands that both say so.
    let store = Store {
        bank: 0,
        both: 1,
        ..store
    };
    assert_eq!(exec::store(&store, &mut b, &mut none), Ok(()));
    assert_eq!(exec::load(&load, &mut b, &none), Err(missing(1, 2)));
    assert_eq!(exec::store(&store, &mut b, &mut none), Ok(()));
    let load = Load { both: 1, ..load };
    assert_eq!(exec::load(&load, &mut b, &none), Ok(()));
    assert_eq!(b.act[2][..16], b.out[0][..16]);
    assert_eq!(b.act[3][..16], b.out[1][..16]);
    for odd in [
        Load {
            row_bank: 1,
            ..load
        },
        Load { stride: 2, ..load },
        Load {
            target: target::RESIDUAL,
            ..load
        },
    ] {
        let refused = exec::load(&odd, &mut b, &none);
        assert!(
            matches!(refused, Err(Fault::Field { field: "both", .. })),
            "{refused:?}"
        );
    }
    for odd in [Store { bank: 1, ..store }, Store { local: 0, ..store }] {
        let refused = exec::store(&odd, &mut b, &mut none);
        assert!(
            matches!(refused, Err(Fault::Field { field: "both", .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn two_rows_come_from_memory_where_there_is_a_second_port() {
    let mut a = board().accelerator;
    assert_eq!(a.load_ports, 2);
    let word = a.word.bytes();
    let mut window = vec![0; 64 * word];
    for (i, to) in window.chunks_exact_mut(word).enumerate() {
        to[0] = i as u8;
    }
    let load = Load {
        ddr: 8 * word as i32,
        seg_beats: 1,
        seg_count: 1,
        stride: 1,
        row_bank: 2,
        both: 1,
        second: 16 * word as i32,
        ..Load::default()
    };
    let mut b = Buffers::new(&a);
    assert_eq!(exec::load(&load, &mut b, &window), Ok(()));
    let from = |first: i16| (first..first + 8).collect::<Vec<_>>();
    assert_eq!(b.act[2][..8], from(8));
    assert_eq!(b.act[3][..8], from(24));
    let outside = Load {
        second: 60 * word as i32,
        ..load
    };
    let refused = exec::load(&outside, &mut b, &window);
    assert!(matches!(refused, Err(Fault::Window { .. })), "{refused:?}");
    a.load_ports = 1;
    let refused = exec::load(&load, &mut Buffers::new(&a), &window);
    assert!(
        matches!(refused, Err(Fault::Field { field: "both", .. })),
        "{refused:?}"
    );
}

#[test]
fn sums_are_reused_of_the_same_window_only() {
    let a = board().accelerator;
    let mut b = Buffers::new(&a);
    let keeps = Compute {
        paired: 1,
        begins: 1,
        lanes: 2,
        ..compute()
    };
    let reuses = Compute { reuses: 1, ..keeps };
    let refused = |b: &mut Buffers, c: &Compute| {
        let done = exec::compute(c, b);
        matches!(
            done,
            Err(Fault::Field {
                field: "reuses",
                ..
            })
        )
    };
    assert!(refused(&mut b, &reuses), "nothing is kept yet");
    assert_eq!(exec::compute(&keeps, &mut b), Ok(0));
    let below = Compute {
        y_start: 4,
        ..reuses
    };
    assert!(refused(&mut b, &below));
    assert_eq!(exec::compute(&reuses, &mut b), Ok(0));
    // Without a beginning the next place is meant, where nothing is.
    let next = Compute {
        begins: 0,
        ..reuses
    };
    assert!(refused(&mut b, &next));
}

#[test]
fn compute_commands_beyond_their_buffers_are_errors() {
    let a = board().accelerator;
    let mut b = Buffers::new(&a);
    assert_eq!(exec::compute(&compute(), &mut b), Ok(0));
    let weights = Compute {
        weight_row: a.weight_depth as i32,
        ..compute()
    };
    let operands = Compute {
        row_line: a.act_depth as i32,
        ring_end: 65535,
        ..compute()
    };
    let results = Compute {
        out_line: a.out_depth as i32,
        ..compute()
    };
    for c in [weights, operands, results] {
        assert!(
            matches!(exec::compute(&c, &mut b), Err(Fault::Buffer { .. })),
            "{c:?}"
        );
    }
    for c in [
        Compute {
            tiles: 0,
            ..compute()
        },
        Compute {
            stride: 3,
            ..compute()
        },
        Compute {
            lanes: 40,
            ..compute()
        },
        Compute {
            tiles: 2,
            last: 0,
            ..compute()
        },
    ] {
        assert!(
            matches!(exec::compute(&c, &mut b), Err(Fault::Field { .. })),
            "{c:?}"
        );
    }
}

#[test]
fn accumulators_continue_from_one_command_to_the_next_and_wrap_at_48_bits() {
    let a = board().accelerator;
    let mut b = Buffers::new(&a);
    b.act[0][0] = -32768;
    b.weights[0] = -32768.0;
    b.bias[0].sum = 5;
    let sum = |b: &mut Buffers, first, last| {
        let c = Compute {
            first,
            last,
            shift: 16,
            ..compute()
        };
        exec::compute(&c, b).expect("within its buffers")
    };
    sum(&mut b, 1, 0);
    sum(&mut b, 0, 0);
    assert_eq!(b.acc[0], 1 << 31);
    // (2^31 + 2^30 + 5 + 2^15) >> 16 is beyond a word.
    assert_eq!(sum(&mut b, 0, 1), 1);
    assert_eq!(b.out[0][0], 32767);
    b.acc[0] = (1 << 47) - 1;
    sum(&mut b, 0, 0);
    assert_eq!(b.acc[0], (1 << 47) - 1 + (1 << 30) - (1 << 48));
}

#[test]
fn a_mark_whose_record_leaves_the_window_is_the_stores_error_as_in_the_rtl() {
    use cnna_machine::engine::Engine;
    use cnna_machine::regs::{self, DeviceError};
    let mut window = vec![0u8; 4096];
    for (n, at) in [(0i32, 4096 - 16), (1, 1 << 30), (2, -32)] {
        let mark = Store {
            ddr: at,
            ..Store::default()
        };
        let mark = command(store_kind::MARK, 0, Body::Store(mark));
        for (i, c) in [mark, end()].iter().enumerate() {
            for (k, word) in c.encode().expect("legal fields").iter().enumerate() {
                window[i * 64 + k * 4..][..4].copy_from_slice(&word.to_le_bytes());
            }
        }
        let mut machine = cnna_sim::Machine::new(&board());
        for (reg, value) in [
            (regs::MEM_SIZE, 4096),
            (regs::PROG_COUNT, 2),
            (regs::START, 1),
        ] {
            machine.write(reg, value);
        }
        while machine
            .advance(&mut window, 1000)
            .expect("no fault of the simulator")
        {
            assert!(machine.read(regs::CYCLES) < 100_000, "case {n} never stops");
        }
        let code = machine.read(regs::STATUS) >> 8 & 0xff;
        assert_eq!(code, DeviceError::StoreAddress as u32, "case {n}");
    }
}

#[test]
fn taps_far_apart_or_backwards_give_the_sums_that_single_taps_give() {
    let a = board().accelerator;
    let fresh = || {
        let mut b = Buffers::new(&a);
        for (i, bank) in b.act.iter_mut().enumerate() {
            bank.iter_mut()
                .enumerate()
                .for_each(|(k, v)| *v = ((k * 7 + i * 3) % 251) as i16);
        }
        b.weights
            .iter_mut()
            .enumerate()
            .for_each(|(k, v)| *v = (k % 13) as f64 - 6.0);
        b
    };
    for mode in [mode::DIRECT, mode::WINOGRAD] {
        for dilation_x in [-8, -1, 1, 3, 60_000] {
            let wide = Compute {
                mode,
                kx_count: 2,
                dilation_x,
                w_full: 64,
                h_full: 4,
                out_width: 8,
                shift: 0,
                x_step: 2 * a.tiles as i32,
                x_start: 16,
                ..compute()
            };
            let mut both = fresh();
            exec::compute(&wide, &mut both).expect("within its buffers");
            // The same, a tap a command; in DIRECT mode the second tap's weight is the next word of the first row.
            let mut single = fresh();
            let one = Compute {
                kx_count: 1,
                ..wide
            };
            exec::compute(&Compute { last: 0, ..one }, &mut single).expect("within");
            if mode == mode::DIRECT {
                for w in single.weights.chunks_exact_mut(9) {
                    w[0] = w[1];
                }
            }
            let second = Compute {
                first: 0,
                x_start: wide.x_start + dilation_x,
                weight_row: i32::from(mode == mode::WINOGRAD),
                ..one
            };
            exec::compute(&second, &mut single).expect("within");
            assert_eq!(both.out, single.out, "mode {mode}, dilation {dilation_x}");
        }
    }
}
