//! Every command explains itself.

use crate::workplace::Workplace;

const COMMANDS: [&str; 12] = [
    "train", "demo", "quantize", "compile", "rtl", "run", "check", "inspect", "report", "explore",
    "boards", "serve",
];

#[test]
fn the_list_of_commands_is_complete_and_each_has_examples() {
    let w = Workplace::new();
    let list = w.succeeds("--help");
    for command in COMMANDS {
        assert!(
            list.contains(&format!("\n  {command} ")),
            "{command}: {list}"
        );
        let help = w.succeeds(&format!("{command} --help"));
        assert!(help.contains("Examples:\n  cnna "), "{help}");
        assert!(help.contains(&format!("cnna {command}")), "{help}");
    }
}

#[test]
fn a_wrong_word_on_the_command_line_ends_with_status_2() {
    let w = Workplace::new();
    for arguments in [
        "",
        "complie",
        "run",
        "compile zoo:tiny --board ultra96 --set lanes -o a",
    ] {
        assert_eq!(w.output(arguments).status.code(), Some(2), "{arguments}");
    }
}
