//! One block as one SystemVerilog module: ports, declarations, processes, registers, instances.

use super::error::EmitError;
use super::flow;
use super::ir::{Expr, Role, Stmt, Table, VarId};
use super::lower::Lower;
use super::names;
use super::print::{Printer, literal, range, select, wrap};
use super::scope::Scope;
use super::table::{self, Instance, Parts, Port, Register};
use rust_hdl_core::prelude::Verilog;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;

/// The text of a module from its port list on, and its ports. The module's name is not in it, so that equal blocks have equal text.
pub(super) struct Body {
    pub ports: Vec<Port>,
    pub text: String,
}

/// How the variables that need no statement of their own are connected.
#[derive(Default)]
struct Direct {
    /// Child inputs, register clocks and resets: the text of what drives them.
    inputs: HashMap<VarId, String>,
    /// Child outputs that drive one signal, or a part of one, directly.
    outputs: HashMap<VarId, String>,
}

/// Emits one block whose table is built.
pub(super) fn body(scope: &Scope, parts: Parts) -> Result<Body, EmitError> {
    let table = &parts.table;
    let Verilog::Combinatorial(code) = &scope.hdl else {
        return Err(EmitError::Unsupported {
            at: scope.place(""),
            what: "a block without a translated kernel".into(),
            hint: "write its `update` under #[hdl_gen]; SystemVerilog enters through top::Instance",
        });
    };
    let stmts = Lower::new(scope, table).block(code)?;
    flow::check(scope, table, &stmts)?;
    let stmts = flow::drop_dead(stmts);
    let used = used_bits(table, &stmts);
    let groups = flow::groups(table, stmts);
    let printer = Printer { table };
    let (groups, direct) = connect_directly(&printer, groups);
    check_clocks(scope, &parts, &direct)?;
    table::unique(scope, &parts, |id| match table.vars[id].role {
        Role::In | Role::Out | Role::Const(_) => !optional(table, id) || used[id].contains(&true),
        _ => is_declared(table, &direct, id),
    })?;

    let ports = own_ports(table, &used);
    let mut text = String::new();
    port_list(&ports, &mut text);
    declarations(&parts, &groups, &used, &direct, &mut text);
    for instance in &parts.instances {
        print_instance(instance, &printer, &direct, &mut text);
    }
    processes(&printer, &groups, &mut text);
    registers(&printer, &parts.registers, &direct, &mut text);
    sink(table, &used, &direct, &mut text);
    text.push_str("endmodule\n");
    Ok(Body {
        ports,
        text: wrap(&text),
    })
}

/// Bits of each variable that something reads.
fn used_bits(table: &Table, stmts: &[Stmt]) -> Vec<Vec<bool>> {
    let mut used: Vec<Vec<bool>> = table.vars.iter().map(|v| vec![false; v.width]).collect();
    for stmt in stmts {
        stmt.reads(&mut |id, part| {
            let (lo, width) = part.unwrap_or((0, table.vars[id].width));
            used[id]
                .iter_mut()
                .skip(lo)
                .take(width)
                .for_each(|b| *b = true);
        });
    }
    used
}

/// True for the clock and reset halves, which exist in the text only if something uses them.
fn optional(table: &Table, id: VarId) -> bool {
    table
        .clocks
        .values()
        .any(|(clk, rst)| *clk == id || *rst == id)
}

fn own_ports(table: &Table, used: &[Vec<bool>]) -> Vec<Port> {
    table
        .vars
        .iter()
        .enumerate()
        .filter(|(id, v)| match v.role {
            Role::In => used[*id].contains(&true) || !optional(table, *id),
            Role::Out => true,
            _ => false,
        })
        .map(|(_, v)| Port {
            key: v.key.clone(),
            name: v.name.clone(),
            width: v.width,
            output: v.role == Role::Out,
        })
        .collect()
}

/// A connection can name a variable, a part of one, a literal or an enum value.
fn is_simple(table: &Table, e: &Expr) -> bool {
    match e {
        Expr::Var(_) | Expr::Lit { .. } | Expr::Label { .. } => true,
        Expr::Slice { base, lo, width } => match **base {
            Expr::Var(id) => lo + width <= table.vars[id].width,
            _ => false,
        },
        _ => false,
    }
}

/// Takes out the groups that are nothing but a wire between a child's port and a signal.
fn connect_directly(printer: &Printer, groups: Vec<Vec<Stmt>>) -> (Vec<Vec<Stmt>>, Direct) {
    let table = printer.table;
    let mut reads: HashMap<VarId, usize> = HashMap::new();
    groups
        .iter()
        .flatten()
        .for_each(|s| s.reads(&mut |id, _| *reads.entry(id).or_default() += 1));
    let mut direct = Direct::default();
    let mut rest = vec![];
    for group in groups {
        // Parts of one signal, each from a child's port, are wires as well.
        let all_from_children = group.iter().all(|s| match s {
            Stmt::Assign {
                target,
                value: Expr::Var(from),
                ..
            } => {
                matches!(table.vars[*from].role, Role::ChildOut(_))
                    && reads.get(from) == Some(&1)
                    && matches!(table.vars[*target].role, Role::Out | Role::Local)
                    && !table.vars[*target].enum_decl
            }
            _ => false,
        });
        match group.as_slice() {
            [
                Stmt::Assign {
                    target,
                    part: None,
                    value,
                },
            ] if table.vars[*target].reads_settled()
                && !reads.contains_key(target)
                && is_simple(table, value)
                && !is_next_value(table, *target) =>
            {
                direct.inputs.insert(*target, printer.expr(value));
            }
            _ if all_from_children => {
                for stmt in &group {
                    if let Stmt::Assign {
                        target,
                        part,
                        value: Expr::Var(from),
                    } = stmt
                    {
                        let var = &table.vars[*target];
                        let at =
                            part.map_or(String::new(), |(lo, width)| select(lo, width, var.width));
                        direct.outputs.insert(*from, format!("{}{at}", var.name));
                    }
                }
            }
            _ => rest.push(group),
        }
    }
    (rest, direct)
}

/// The `d` of a register keeps its name even if it is a plain copy.
fn is_next_value(table: &Table, id: VarId) -> bool {
    matches!(table.vars[id].role, Role::RegIn(_)) && !optional(table, id)
}

fn check_clocks(scope: &Scope, parts: &Parts, direct: &Direct) -> Result<(), EmitError> {
    let clocks = parts
        .registers
        .iter()
        .flat_map(|r| [Some(r.clk), r.reset.as_ref().map(|(rst, _)| *rst)]);
    for id in clocks.flatten() {
        if !direct.inputs.contains_key(&id) {
            return Err(EmitError::Unsupported {
                at: scope.place(&parts.table.vars[id].key),
                what: "a register clock that is assigned more than once or under a condition"
                    .into(),
                hint: "wire it once with dff_setup! or clock!",
            });
        }
    }
    Ok(())
}

fn port_list(ports: &[Port], text: &mut String) {
    if ports.is_empty() {
        text.push_str(" ();\n");
        return;
    }
    text.push_str(" (\n");
    let width = ports
        .iter()
        .map(|p| range(p.width).len())
        .max()
        .unwrap_or(0);
    for (i, p) in ports.iter().enumerate() {
        // `wire` spelled out: without a default net type some tools refuse a bare `input logic`.
        let direction = if p.output { "output" } else { "input  wire" };
        let comma = if i + 1 < ports.len() { "," } else { "" };
        let _ = writeln!(
            text,
            "  {direction:11} logic {:width$}{}{comma}",
            range(p.width),
            p.name
        );
    }
    text.push_str(");\n");
}

fn expr_labels(e: &Expr, seen: &mut HashSet<String>) {
    match e {
        Expr::Label { of, .. } => {
            seen.insert(of.name.clone());
        }
        Expr::Var(_) | Expr::Lit { .. } => {}
        Expr::Not(e) | Expr::Reduce(_, e) => expr_labels(e, seen),
        Expr::Slice { base, .. } | Expr::Resize { base, .. } => expr_labels(base, seen),
        Expr::Bin(_, l, r) => [l, r].into_iter().for_each(|e| expr_labels(e, seen)),
        Expr::DynSlice { base, at, .. } => {
            [base, at].into_iter().for_each(|e| expr_labels(e, seen))
        }
        Expr::ReplaceBit { base, at, bit } => [base, at, bit]
            .into_iter()
            .for_each(|e| expr_labels(e, seen)),
    }
}

fn stmt_labels(stmt: &Stmt, seen: &mut HashSet<String>) {
    match stmt {
        Stmt::Assign { value, .. } => expr_labels(value, seen),
        Stmt::If {
            cond,
            then,
            otherwise,
        } => {
            expr_labels(cond, seen);
            then.iter()
                .chain(otherwise)
                .for_each(|s| stmt_labels(s, seen));
        }
        Stmt::Case { subject, arms } => {
            expr_labels(subject, seen);
            for arm in arms {
                arm.pattern.iter().for_each(|p| expr_labels(p, seen));
                arm.body.iter().for_each(|s| stmt_labels(s, seen));
            }
        }
    }
}

/// True for the variables that need a declaration in the module's body.
fn is_declared(table: &Table, direct: &Direct, id: VarId) -> bool {
    match table.vars[id].role {
        Role::Local | Role::RegOut(_) => true,
        Role::RegIn(_) => is_next_value(table, id),
        Role::ChildIn(_) => !direct.inputs.contains_key(&id),
        Role::ChildOut(_) => !direct.outputs.contains_key(&id),
        Role::In | Role::Out | Role::Const(_) | Role::Absent => false,
    }
}

fn declarations(
    parts: &Parts,
    groups: &[Vec<Stmt>],
    used: &[Vec<bool>],
    direct: &Direct,
    text: &mut String,
) {
    let table = &parts.table;
    let mut out = String::new();
    for (id, v) in table.vars.iter().enumerate() {
        if let (Role::Const(hex), true) = (&v.role, used[id].contains(&true)) {
            let _ = writeln!(
                out,
                "  localparam logic {}{} = {};",
                range(v.width),
                v.name,
                literal(hex, v.width)
            );
        }
    }
    let mut labels = HashSet::new();
    groups
        .iter()
        .flatten()
        .for_each(|s| stmt_labels(s, &mut labels));
    let texts = || direct.inputs.values();
    for e in &table.enums {
        let declared = table
            .vars
            .iter()
            .any(|v| v.enum_decl && v.enum_ty.as_ref().is_some_and(|t| **t == **e));
        let connected =
            (0..e.variants.len()).any(|i| texts().any(|t| *t == names::enum_label(e, i)));
        if !(declared || connected || labels.contains(&e.name)) {
            continue;
        }
        let _ = writeln!(out, "  typedef enum logic {}{{", range(e.width));
        for i in 0..e.variants.len() {
            let comma = if i + 1 < e.variants.len() { "," } else { "" };
            let _ = writeln!(
                out,
                "    {} = {}{comma}",
                names::enum_label(e, i),
                literal(&format!("{i:x}"), e.width)
            );
        }
        let _ = writeln!(out, "  }} {};", names::enum_type(e));
    }
    // Signals of one type share a line, in order of first appearance of the type.
    let mut by_type: BTreeMap<(usize, String), Vec<&str>> = BTreeMap::new();
    let mut order: Vec<String> = vec![];
    for (id, v) in table
        .vars
        .iter()
        .enumerate()
        .filter(|(id, _)| is_declared(table, direct, *id))
    {
        let ty = match &v.enum_ty {
            Some(e) if v.enum_decl => names::enum_type(e),
            _ => format!("logic {}", range(v.width)).trim_end().to_owned(),
        };
        let at = order.iter().position(|t| *t == ty).unwrap_or_else(|| {
            order.push(ty.clone());
            order.len() - 1
        });
        by_type
            .entry((at, ty))
            .or_default()
            .push(&table.vars[id].name);
    }
    for ((_, ty), list) in by_type {
        for names in list.chunks(4) {
            let _ = writeln!(out, "  {ty} {};", names.join(", "));
        }
    }
    if !out.is_empty() {
        text.push('\n');
        text.push_str(&out);
    }
}

fn print_instance(instance: &Instance, printer: &Printer, direct: &Direct, text: &mut String) {
    let _ = writeln!(text, "\n  {} {} (", instance.module, instance.name);
    for (i, (port, id)) in instance.ports.iter().enumerate() {
        let what = direct
            .inputs
            .get(id)
            .or_else(|| direct.outputs.get(id))
            .map_or(printer.name(*id), String::as_str);
        let comma = if i + 1 < instance.ports.len() {
            ","
        } else {
            ""
        };
        let _ = writeln!(text, "    .{}({what}){comma}", port.name);
    }
    text.push_str("  );\n");
}

fn processes(printer: &Printer, groups: &[Vec<Stmt>], text: &mut String) {
    let mut after_assign = false;
    for group in groups {
        if let [
            Stmt::Assign {
                target,
                part,
                value,
            },
        ] = group.as_slice()
        {
            if !after_assign {
                text.push('\n');
            }
            let _ = writeln!(text, "  assign {};", printer.assign(*target, *part, value));
            after_assign = true;
        } else {
            text.push_str("\n  always_comb begin\n");
            printer.statements(group, 2, text);
            text.push_str("  end\n");
            after_assign = false;
        }
    }
}

fn registers(printer: &Printer, registers: &[Register], direct: &Direct, text: &mut String) {
    let table = printer.table;
    let text_of = |id: VarId| direct.inputs.get(&id).cloned().unwrap_or_default();
    // One process per clock and reset; a register without reset has a process without one.
    type Process<'a> = ((String, Option<String>), Vec<&'a Register>);
    let mut processes: Vec<Process> = vec![];
    for r in registers {
        let key = (
            text_of(r.clk),
            r.reset.as_ref().map(|(rst, _)| text_of(*rst)),
        );
        match processes.iter_mut().find(|(k, _)| *k == key) {
            Some((_, list)) => list.push(r),
            None => processes.push((key, vec![r])),
        }
    }
    for ((clk, rst), list) in processes {
        let _ = writeln!(text, "\n  always_ff @(posedge {clk}) begin");
        let load = |text: &mut String, step: &str| {
            for r in &list {
                let _ = writeln!(
                    text,
                    "{step}{} <= {};",
                    printer.name(r.q),
                    printer.name(r.d)
                );
            }
        };
        match rst {
            None => load(text, "    "),
            Some(rst) => {
                let _ = writeln!(text, "    if ({rst}) begin");
                for r in &list {
                    let Some((_, hex)) = &r.reset else { continue };
                    let var = &table.vars[r.q];
                    let variant = usize::from_str_radix(hex, 16).ok();
                    let value = match (&var.enum_ty, variant) {
                        (Some(e), Some(v)) if v < e.variants.len() => names::enum_label(e, v),
                        _ => literal(hex, var.width),
                    };
                    let _ = writeln!(text, "      {} <= {value};", var.name);
                }
                text.push_str("    end else begin\n");
                load(text, "      ");
                text.push_str("    end\n");
            }
        }
        text.push_str("  end\n");
    }
}

/// Names the bits that nothing reads, so that a linter stays able to find forgotten ones.
fn sink(table: &Table, used: &[Vec<bool>], direct: &Direct, text: &mut String) {
    let mut unread = vec![];
    for (id, v) in table.vars.iter().enumerate() {
        let concerned = match v.role {
            Role::In => !optional(table, id),
            Role::Local | Role::RegOut(_) => true,
            Role::ChildOut(_) => !direct.outputs.contains_key(&id),
            _ => false,
        };
        if !concerned {
            continue;
        }
        let mut bit = 0;
        while bit < v.width {
            if used[id][bit] {
                bit += 1;
                continue;
            }
            let lo = bit;
            while bit < v.width && !used[id][bit] {
                bit += 1;
            }
            unread.push(format!("{}{}", v.name, select(lo, bit - lo, v.width)));
        }
    }
    if !unread.is_empty() {
        let _ = writeln!(text, "\n  // Bits that nothing here reads.");
        let _ = writeln!(text, "  logic unused;");
        let _ = writeln!(text, "  assign unused = ^{{1'b0, {}}};", unread.join(", "));
    }
}
