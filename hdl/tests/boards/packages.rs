//! Shells, recipes and the packaged IP.

use crate::{cases, emit, run, text};
use cnna_hdl::{boards, ports};
use cnna_machine::regs;
use std::path::Path;
use std::process::Command;

#[test]
fn shells_are_json_and_recipes_name_files_that_are_there() {
    for board in cases() {
        let (_, files) = emit(&board);
        let shells = files.iter().filter(|f| f.path.ends_with("shell.json"));
        let mut count = 0;
        for f in shells {
            let json: serde_json::Value = serde_json::from_str(&f.text).unwrap();
            assert_eq!(json["shell_type"], "XRT_FLAT", "{}", f.path);
            assert_eq!(json["num_slots"], "1", "{}", f.path);
            count += 1;
        }
        assert!(count > 0);
        let recipe = files.iter().find(|f| f.path.ends_with(".bb")).unwrap();
        let sources: Vec<_> = recipe
            .text
            .lines()
            .filter_map(|l| l.trim().strip_prefix("file://"))
            .map(|l| l.trim_end_matches([' ', '\\']))
            .collect();
        assert_eq!(sources, ["cnna.bit", "cnna.dtsi", "shell.json"]);
        for f in &sources[1..] {
            let path = format!("petalinux/cnna/files/{f}");
            assert!(files.iter().any(|f| f.path == path), "{path}");
        }
    }
}

/// What an XML parser that is not ours reads in the packaged IP: lines of tab-separated words.
fn parse_component(dir: &Path) -> Vec<Vec<String>> {
    const READ: &str = "
import sys, xml.etree.ElementTree as e
s = '{http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009}'
root = e.parse('ip/component.xml').getroot()
assert root.tag == s + 'component'
order = [c.tag[len(s):] for c in root]
print('order', *order, sep='\\t')
t = lambda n, k: n.find(s + k).text
for r in root.iter(s + 'register'): print('register', t(r, 'name'), t(r, 'addressOffset'), t(r, 'access'), t(r, 'size'), sep='\\t')
for b in root.iter(s + 'busInterface'):
    print('bus', t(b, 'name'), sep='\\t')
    for m in b.iter(s + 'portMap'): print('map', t(b, 'name'), m[0][0].text, m[1][0].text, sep='\\t')
    for m in b.iter(s + 'addressSpaceRef'): print('space', m.get(s + 'addressSpaceRef'), sep='\\t')
for a in root.iter(s + 'addressSpace'): print('space', t(a, 'name'), sep='\\t')
for p in root.iter(s + 'port'):
    w = p.find(s + 'wire'); v = w.find(s + 'vector')
    print('port', t(p, 'name'), t(w, 'direction'), 1 if v is None else int(t(v, 'left')) + 1, sep='\\t')
for f in root.iter(s + 'file'): print('file', t(f, 'name'), sep='\\t')
";
    let out = run(Command::new("python3").args(["-c", READ]).current_dir(dir));
    assert!(out.status.success(), "{}", text(&out.stderr));
    text(&out.stdout)
        .lines()
        .map(|l| l.split('\t').map(String::from).collect())
        .collect()
}

#[test]
fn the_packaged_ip_has_the_registers_of_machine_and_the_ports_of_the_top() {
    for board in cases() {
        let (dir, _) = emit(&board);
        let read = parse_component(dir.path());
        let of = |kind: &str| -> Vec<Vec<String>> {
            let lines = read.iter().filter(|l| l[0] == kind);
            lines.map(|l| l[1..].to_vec()).collect()
        };
        // The order that the schema's sequence demands.
        let order = [
            "vendor",
            "library",
            "name",
            "version",
            "busInterfaces",
            "addressSpaces",
            "memoryMaps",
            "model",
            "fileSets",
            "description",
            "parameters",
            "vendorExtensions",
        ];
        assert_eq!(of("order"), [order.map(String::from).to_vec()]);
        let registers: Vec<_> = regs::ALL
            .iter()
            .map(|r| {
                let access = match r.access {
                    regs::Access::Ro => "read-only",
                    regs::Access::Rw => "read-write",
                };
                let offset = format!("{:#x}", r.offset);
                [r.name, &offset, access, "32"].map(String::from).to_vec()
            })
            .collect();
        assert_eq!(of("register"), registers);
        let all = boards::cell_ports(&board);
        let wanted: Vec<_> = all
            .iter()
            .map(|p| {
                let direction = match p.direction {
                    ports::Direction::Input => "in",
                    ports::Direction::Output => "out",
                };
                vec![p.name.clone(), direction.into(), p.width.to_string()]
            })
            .collect();
        assert_eq!(of("port"), wanted);
        // Every port belongs to exactly one bus, every master has its address space.
        let mut mapped: Vec<_> = of("map").iter().map(|l| l[2].clone()).collect();
        mapped.sort();
        let mut names: Vec<_> = all.iter().map(|p| p.name.clone()).collect();
        names.sort();
        assert_eq!(mapped, names);
        assert_eq!(of("space").len(), 2 * board.accelerator.ports());
        for f in of("file") {
            assert!(dir.path().join("ip").join(&f[0]).exists(), "{f:?}");
        }
    }
}
