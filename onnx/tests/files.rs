//! Files: round trips, and every kind of file that is not a usable model.

use cnna_onnx::{
    ElementType, Error, GraphBuilder, Model, NodeProto, StringStringEntryProto, TensorProto, read,
    write,
};
use std::path::{Path, PathBuf};

fn model() -> Model {
    let mut b = GraphBuilder::new("small");
    b.input("x", ElementType::F32, &[1, 4, 4])
        .output("y", ElementType::F32, &[2, 4, 4])
        .constant("w", &[2, 1, 3, 3], &[7i16; 18])
        .constant("s", &[], &[0.25f32])
        .node(
            NodeProto::new("Conv", "c1", &["x", "w"], &["y"])
                .with("pads", [1, 1, 1, 1])
                .with("group", 1)
                .with("alpha", 0.0f32)
                .with("auto_pad", "NOTSET")
                .with("zero", 0),
        )
        .metadata("seed", "1");
    b.finish()
}

/// A fresh folder under cargo's own scratch space.
fn folder(test: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
fn what_is_written_is_read_and_no_temporary_stays() {
    let dir = folder("round_trip");
    let path = dir.join("m.onnx");
    write(&path, &model()).unwrap();
    assert_eq!(read(&path).unwrap(), model());
    write(&path, &model()).unwrap();
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
}

#[test]
fn a_write_into_a_missing_folder_names_the_file_and_leaves_nothing() {
    let dir = folder("missing");
    let path = dir.join("none").join("m.onnx");
    let e = write(&path, &model()).unwrap_err().to_string();
    assert!(e.contains("m.onnx"), "{e}");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn attributes_are_typed_and_have_defaults() {
    let m = model();
    let n = &m.graph.node[0];
    assert_eq!(n.ints("pads").unwrap(), Some(&[1i64, 1, 1, 1][..]));
    assert_eq!(n.ints("strides").unwrap(), None);
    assert_eq!(
        (n.int("group", 5).unwrap(), n.int("none", 5).unwrap()),
        (1, 5)
    );
    assert_eq!(n.int("zero", 5).unwrap(), 0);
    assert_eq!(n.float("alpha", 1.0).unwrap(), 0.0);
    assert_eq!(n.string("auto_pad", "").unwrap(), "NOTSET");
    let e = n.int("pads", 0).unwrap_err().to_string();
    assert_eq!(e, "node `c1` (Conv): attribute `pads` should be an integer");
    assert_eq!(
        m.graph.input[0].dims(),
        Some(vec![None, Some(1), Some(4), Some(4)])
    );
}

#[test]
fn every_element_type_reads_the_same_from_raw_and_typed_data() {
    let raw = TensorProto::new("t", &[2], &[-3i16, 300]);
    assert_eq!(raw.to_i16().unwrap(), [-3, 300]);
    assert_eq!(raw.to_i64().unwrap(), [-3, 300]);
    let typed = TensorProto {
        raw_data: Default::default(),
        int32_data: vec![-3, 300],
        ..raw.clone()
    };
    assert_eq!(typed.to_i16().unwrap(), [-3, 300]);
    assert_eq!(typed.to_i64().unwrap(), [-3, 300]);
    let wide = TensorProto {
        int32_data: vec![-3, 40_000],
        ..typed
    };
    assert!(wide.to_i16().unwrap_err().to_string().contains("40000"));

    assert_eq!(TensorProto::new("t", &[1], &[-5i8]).to_i16().unwrap(), [-5]);
    assert_eq!(TensorProto::new("t", &[1], &[-5i8]).to_i64().unwrap(), [-5]);
    assert_eq!(
        TensorProto::new("t", &[1], &[250u8]).to_i64().unwrap(),
        [250]
    );
    assert_eq!(
        TensorProto::new("t", &[1], &[65_000u16]).to_i64().unwrap(),
        [65_000]
    );
    assert_eq!(
        TensorProto::new("t", &[], &[-70_000i32]).to_i64().unwrap(),
        [-70_000]
    );
    assert_eq!(
        TensorProto::new("t", &[], &[i64::MIN]).to_i64().unwrap(),
        [i64::MIN]
    );
    assert_eq!(
        TensorProto::new("t", &[1], &[0.5f32]).to_f32().unwrap(),
        [0.5]
    );
    assert_eq!(
        TensorProto::new("t", &[1], &[0.5f64]).to_f32().unwrap(),
        [0.5]
    );
    let floats = TensorProto {
        dims: vec![2],
        data_type: ElementType::F32 as i32,
        float_data: vec![1.5, -2.0],
        ..Default::default()
    };
    assert_eq!(floats.to_f32().unwrap(), [1.5, -2.0]);
    assert!(floats.to_i64().is_err() && raw.to_f32().is_err());
}

#[test]
fn tensors_whose_shape_and_data_disagree_are_refused_before_anything_is_allocated() {
    let good = TensorProto::new("w", &[2, 3], &[1i16; 6]);
    let with = |dims: &[i64]| TensorProto {
        dims: dims.to_vec(),
        ..good.clone()
    };
    for dims in [&[7][..], &[1 << 40], &[1 << 62, 1 << 62], &[-1, 6], &[]] {
        let e = with(dims).to_i16().unwrap_err();
        assert!(
            matches!(&e, Error::Tensor { tensor, .. } if tensor == "w"),
            "{e}"
        );
    }
    let external = TensorProto {
        data_location: 1,
        external_data: vec![StringStringEntryProto {
            key: "location".into(),
            value: "w.bin".into(),
        }],
        raw_data: Default::default(),
        ..good.clone()
    };
    let e = external.to_i16().unwrap_err().to_string();
    assert!(e.contains("`w`") && e.contains("another file"), "{e}");
    let text = TensorProto {
        data_type: 8,
        ..good
    };
    assert!(
        text.to_f32()
            .unwrap_err()
            .to_string()
            .contains("element type 8")
    );
}

#[test]
fn every_truncation_of_a_model_is_refused_or_equals_it_in_its_graph() {
    let whole = model();
    let bytes = whole.encode();
    let mut refused = 0;
    for n in 0..bytes.len() {
        match Model::decode(bytes[..n].to_vec(), Path::new("cut.onnx")) {
            Ok(m) => assert_eq!(m.graph, whole.graph, "cut at {n}"),
            Err(e) => {
                assert!(
                    e.to_string()
                        .starts_with("cut.onnx: not a usable ONNX model")
                );
                refused += 1;
            }
        }
    }
    // Only a cut behind the operator set, through the free metadata, can pass.
    assert!(refused + 20 > bytes.len(), "{refused} of {}", bytes.len());
}

#[test]
fn flipped_bytes_never_panic() {
    let bytes = model().encode();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut b = bytes.clone();
            b[at] ^= flip;
            if let Ok(m) = Model::decode(b, Path::new("m.onnx")) {
                for t in &m.graph.initializer {
                    let _ = (t.to_i16(), t.to_i64(), t.to_f32());
                }
            }
        }
    }
}

#[test]
fn files_of_other_types_are_refused_by_name() {
    let dir = folder("other");
    let png: Vec<u8> = [0x89, b'P', b'N', b'G', 13, 10, 26, 10, 0, 0, 0, 13]
        .into_iter()
        .chain(*b"IHDR")
        .chain([0; 64])
        .collect();
    let cases: [(&str, &[u8], &str); 6] = [
        ("empty.onnx", b"", "empty"),
        ("picture.png", &png, "another type"),
        ("text.txt", b"hello, this is text\n", "another type"),
        (
            "npy.npy",
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}",
            "another type",
        ),
        ("zeros.bin", &[0; 4096], "another type"),
        (
            "zip.zip",
            b"PK\x03\x04\x14\x00\x00\x00\x08\x00",
            "another type",
        ),
    ];
    for (name, bytes, reason) in cases {
        let path = dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        let e = read(&path).unwrap_err().to_string();
        assert!(e.contains(name) && e.contains(reason), "{e}");
    }
    let e = read(dir.join("absent.onnx")).unwrap_err();
    assert!(matches!(e, Error::Io { .. }) && e.to_string().contains("absent.onnx"));
    assert!(matches!(read(&dir).unwrap_err(), Error::Io { .. }));
}
