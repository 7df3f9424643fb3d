//! What the boards' software stacks expect to find: Kria's application folder, PetaLinux' recipe.

use super::SourceFile;
use super::linux::{self, Memory};
use super::ps::Ps;
use cnna_machine::config::{Board, Family};

/// The folders `kria` (UltraScale+ only: dfx-mgr and xmutil) and `petalinux`.
pub(crate) fn files(board: &Board, ps: &Ps) -> Vec<SourceFile> {
    let file = |path: &str, text: String| SourceFile {
        path: path.into(),
        text,
    };
    let tree = || linux::overlay(board, ps, Memory::Udmabuf);
    let mut all = vec![
        file("petalinux/cnna/cnna.bb", recipe(board)),
        file("petalinux/cnna/files/cnna.dtsi", tree()),
        file("petalinux/cnna/files/shell.json", shell()),
    ];
    if board.platform.family == Family::ZynqMp {
        all.push(file("kria/cnna.dts", tree()));
        all.push(file("kria/shell.json", shell()));
    }
    all
}

/// A design without slots for parts of it: dfx-mgr loads it whole.
fn shell() -> String {
    "{\n    \"shell_type\": \"XRT_FLAT\",\n    \"num_slots\": \"1\"\n}\n".into()
}

/// A recipe of the class that packs bitstream and overlay below /lib/firmware/xilinx.
fn recipe(board: &Board) -> String {
    let machine = match board.platform.family {
        Family::ZynqMp => "zynqmp",
        Family::Zynq7000 => "zynq",
    };
    format!(
        "# cnna on {}: copy this folder to project-spec/meta-user/recipes-firmware, put Vivado's out/cnna.bit into files, add\n\
         # CONFIG_cnna to user-rootfsconfig. The class is that of `petalinux-create apps --template dfx_user_dts` (2022.2 on;\n\
         # before that it was called fpgamanager_custom).\n\
         SUMMARY = \"CNN accelerator made by cnna\"\n\
         LICENSE = \"MIT\"\n\
         LIC_FILES_CHKSUM = \"file://${{COMMON_LICENSE_DIR}}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302\"\n\n\
         inherit dfx_user_dts\n\n\
         SRC_URI = \"\\\n    file://cnna.bit \\\n    file://cnna.dtsi \\\n    file://shell.json \\\n    \"\n\n\
         COMPATIBLE_MACHINE:{machine} = \".*\"\n",
        super::one_line(&board.title)
    )
}
