//! The fake-quantised network and its exported integers agree bit for bit on real images.

mod common;

use cnna_machine::num::Word;
use cnna_quant::{
    Arch, FloatNet, Formats, accuracy_report, calibrate, evaluate, evaluate_fake, fake_logits,
    quantise_images, to_graph,
};
use common::{fashion, odd};

/// Compares all logits of `images`; the number of saturated results.
fn compare(net: &FloatNet, formats: &Formats, images: &cnna_quant::Split) -> u64 {
    let integers = to_graph(net, formats).expect("finite weights");
    let fake = fake_logits(net, formats, images).expect("images fit");
    let frac = *formats.output_fracs.last().expect("layers");
    let mut saturated = 0;
    for (i, row) in fake.iter().enumerate() {
        let words = quantise_images(images.image(i), formats.input_frac, formats.word);
        let run = cnna_net::run::run(&integers, &[&words]).expect("every tensor has a format");
        saturated += run.tensors.iter().map(|t| t.saturated).sum::<u64>();
        let want: Vec<f64> = run.tensors[integers.outputs[0].tensor]
            .values
            .iter()
            .map(|&v| f64::from(v))
            .collect();
        let got: Vec<f64> = row.iter().map(|v| v * 2f64.powi(frac)).collect();
        assert_eq!(
            got, want,
            "image {i}, {:?}, auto-scale {}",
            formats.word, formats.auto_scale
        );
    }
    saturated
}

#[test]
fn exported_integers_equal_the_fake_quantised_network() {
    let data = fashion();
    let images = data.test.first(24);
    let vgg = Arch::load("vgg-small")
        .and_then(|a| a.init(data.test.shape, 10, 3))
        .expect("built in");
    for mut net in [odd(&data, 1), odd(&data, 2), vgg] {
        // Biases are zero at birth: give them values, one of them beyond 32 bits at the accumulator's scale.
        for [_, bias] in net.parameters_mut() {
            for (i, b) in bias.iter_mut().enumerate() {
                *b = if i == 0 { 1.7 } else { 0.01 * i as f32 - 0.03 };
            }
        }
        for word in [Word::W16, Word::W8] {
            for auto_scale in [true, false] {
                let formats =
                    calibrate(&net, &data.train, word, auto_scale).expect("finite weights");
                compare(&net, &formats, &images);
            }
        }
    }
}

#[test]
fn they_agree_where_results_saturate_and_sums_are_long() {
    let data = fashion();
    let images = data.test.first(24);
    let mut net = odd(&data, 5);
    for [weights, _] in net.parameters_mut() {
        weights.iter_mut().for_each(|w| *w *= 7.0);
    }
    let mut saturated = 0;
    for word in [Word::W16, Word::W8] {
        let mut formats = calibrate(&net, &data.train, word, true).expect("finite weights");
        // Two bits fewer than the values need.
        for f in &mut formats.output_fracs {
            *f += 2;
        }
        saturated += compare(&net, &formats, &images);
    }
    assert!(
        saturated > 100,
        "only {saturated} results saturated: the case is not met"
    );
}

#[test]
fn the_reported_accuracy_is_that_of_the_integers() {
    let data = fashion();
    let net = odd(&data, 9);
    let formats = calibrate(&net, &data.train, Word::W8, true).expect("finite weights");
    let images = data.test.first(300);
    let integers = to_graph(&net, &formats).expect("finite weights");
    let (fake, real) = (
        evaluate_fake(&net, &formats, &images),
        evaluate(&integers, &images),
    );
    assert_eq!(fake.expect("images fit"), real.expect("images fit"));
}

#[test]
fn weights_that_are_not_numbers_are_refused_by_layer_and_index() {
    let data = fashion();
    let mut net = odd(&data, 1);
    let formats = calibrate(&net, &data.train, Word::W16, true).expect("finite weights");
    net.parameters_mut().nth(1).expect("c2")[0][4] = f32::NAN;
    for e in [
        to_graph(&net, &formats).map(drop),
        calibrate(&net, &data.train, Word::W16, true).map(drop),
    ] {
        let e = e.expect_err("NaN").to_string();
        assert!(e.contains("layer `c2`: weight 4 is NaN"), "{e}");
    }
}

#[test]
fn images_of_another_shape_are_refused() {
    let data = fashion();
    let net = odd(&data, 1);
    let formats = calibrate(&net, &data.train, Word::W16, true).expect("finite weights");
    let dir = common::tiny_folder(4, 4);
    let tiny = cnna_quant::Dataset::load(&dir.path().to_string_lossy()).expect("a good folder");
    let e = evaluate(&to_graph(&net, &formats).expect("finite"), &tiny.test)
        .expect_err("2x3 images")
        .to_string();
    assert!(e.contains("1x2x3") && e.contains("1x28x28"), "{e}");
}

#[test]
fn the_table_holds_float_and_rounded_rows_and_eight_bits_lose_what_sixteen_do_not() {
    let mut data = fashion();
    data.test = data.test.first(100);
    let net = odd(&data, 9);
    let formats = calibrate(&net, &data.train, Word::W8, false).expect("finite weights");
    let trained = to_graph(&net, &formats).expect("finite weights");
    let rows = accuracy_report(net.graph(), &[trained], &data).expect("images fit");
    let heads: Vec<_> = rows
        .iter()
        .map(|r| (r.method, r.word, r.auto_scale))
        .collect();
    let (w16, w8) = (Some(Word::W16), Some(Word::W8));
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(
        heads,
        [
            ("float", None, None),
            ("rounded", w16, yes),
            ("rounded", w16, no),
            ("rounded", w8, yes),
            ("rounded", w8, no),
            ("trained", w8, no)
        ]
    );
    let db: Vec<f64> = rows[1..5].iter().filter_map(|r| r.sqnr_db).collect();
    assert_eq!(db.len(), 4);
    assert!(db[0] > 50.0 && db[2] < 40.0, "{db:?}");
    // The plain format wastes bits on weights far below 2.
    assert!(db[2] > db[3], "{db:?}");
    // The rounded row is what `cnna quantize` does: other images and the best of three methods tell its ranges,
    // biases are corrected. Its integers are others, near enough to decide much the same.
    assert!(rows[4].agree.abs_diff(rows[5].agree) < 10, "{rows:?}");
    assert_eq!(
        (rows[0].agree, rows[0].images, rows[5].sqnr_db),
        (100, 100, None)
    );
}
