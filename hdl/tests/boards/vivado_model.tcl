# A model of the Vivado commands that build.tcl calls, as far as plain Tcl can judge them. It refuses unknown commands,
# options, cells, pins, interfaces, segments and files, double connections and open or unclocked ports, and writes what
# was built as tab-separated lines to the file named by CNNA_RECORD.
#
# Usage: tclsh vivado_model.tcl build.tcl. Environment: CNNA_CASE = ok | no_board_files | run_fails | slow | bare_dsp | no_clock.
# The processing systems below are written from AMD's PG201 and PG082, independently of the generator's own table; what presets
# set is from the board files that AMD (XilinxBoardStore) and Avnet (bdf) publish: Ultra96's fix the dividers of the clocks by hand,
# and a frequency asked for while they do is kept and not obeyed.

namespace eval model {
    variable record {}
    variable cells; array set cells {}
    variable properties; array set properties {}
    variable net_of; array set net_of {}
    variable link_of; array set link_of {}
    variable assigned; array set assigned {}
    variable excluded {}
    variable sources {}
    variable part ""
    variable project_dir ""
    variable design ""
    variable modules; array set modules {}
    variable case [expr {[info exists ::env(CNNA_CASE)] ? $::env(CNNA_CASE) : "ok"}]
}

proc model::note {args} { variable record; lappend record [join $args "\t"] }

# Splits arguments into options (name/arity pairs in `machine`) and the rest; an unknown option is an error.
proc model::options {command arguments spec} {
    array set arity $spec
    set found {}
    set rest {}
    while {[llength $arguments]} {
        set arguments [lassign $arguments a]
        # A negative number is no option.
        if {![string match -* $a] || [string is double -strict $a]} { lappend rest $a; continue }
        if {![info exists arity($a)]} { error "$command: unknown option $a" }
        if {$arity($a)} {
            if {![llength $arguments]} { error "$command: $a needs a value" }
            set arguments [lassign $arguments value]
        } else {
            set value 1
        }
        lappend found $a $value
    }
    return [list $found $rest]
}

# --- what the cells have -----------------------------------------------------------------------------------------------
# Interface pins as {name direction clock-pin enabling-property}; scalar pins as {name direction}.

proc model::ps_interfaces {ip} {
    if {$ip eq "zynq_ultra_ps_e"} {
        set all {
            {M_AXI_HPM0_FPD master maxihpm0_fpd_aclk PSU__USE__M_AXI_GP0}
            {M_AXI_HPM1_FPD master maxihpm1_fpd_aclk PSU__USE__M_AXI_GP1}
            {M_AXI_HPM0_LPD master maxihpm0_lpd_aclk PSU__USE__M_AXI_GP2}
            {S_AXI_HPC0_FPD slave saxihpc0_fpd_aclk PSU__USE__S_AXI_GP0}
            {S_AXI_HPC1_FPD slave saxihpc1_fpd_aclk PSU__USE__S_AXI_GP1}
        }
        foreach {n gp} {0 2 1 3 2 4 3 5} {
            lappend all [list S_AXI_HP${n}_FPD slave saxihp${n}_fpd_aclk PSU__USE__S_AXI_GP$gp]
        }
        return $all
    }
    set all {
        {M_AXI_GP0 master M_AXI_GP0_ACLK PCW_USE_M_AXI_GP0}
        {M_AXI_GP1 master M_AXI_GP1_ACLK PCW_USE_M_AXI_GP1}
    }
    foreach n {0 1 2 3} { lappend all [list S_AXI_HP$n slave S_AXI_HP${n}_ACLK PCW_USE_S_AXI_HP$n] }
    return $all
}

proc model::ps_defaults {ip} {
    # What a board preset leaves enabled.
    if {$ip eq "zynq_ultra_ps_e"} { return {PSU__USE__M_AXI_GP0 1 PSU__USE__M_AXI_GP1 1 PSU__USE__M_AXI_GP2 0} }
    return {PCW_USE_M_AXI_GP0 1 PCW_USE_M_AXI_GP1 0}
}

# What a board's preset sets besides, by the name in its board part, in lower case.
proc model::preset {board} {
    switch [string tolower $board] {
        ultra96v1 - ultra96v2 { return {PSU__OVERRIDE__BASIC_CLOCK 1 PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 100} }
        default { return {} }
    }
}

# Hertz of the first clock to the logic: what was asked for when its dividers were free, as near as a divider comes.
variable model::asked 100
proc model::ask_clock {cell key value} {
    variable asked
    if {$key ni {PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ PCW_FPGA0_PERIPHERAL_FREQMHZ}} { return }
    if {[get $cell PSU__OVERRIDE__BASIC_CLOCK 0]} { return }
    set asked $value
}

proc model::ps_pins {ip} {
    if {$ip eq "zynq_ultra_ps_e"} {
        return {{pl_clk0 out PSU__FPGA_PL0_ENABLE} {pl_resetn0 out PSU__USE__FABRIC__RST} {pl_ps_irq0 in PSU__USE__IRQ0}}
    }
    return {{FCLK_CLK0 out PCW_EN_CLK0_PORT} {FCLK_RESET0_N out PCW_EN_RST0_PORT} {IRQ_F2P in PCW_IRQ_F2P_INTR}}
}

proc model::ps_property_exists {ip key} {
    if {$ip eq "zynq_ultra_ps_e"} {
        set patterns {
            PSU__FPGA_PL0_ENABLE PSU__USE__FABRIC__RST PSU__USE__IRQ0 PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ
            PSU__OVERRIDE__BASIC_CLOCK PSU__HIGH_ADDRESS__ENABLE
            {PSU__USE__M_AXI_GP[0-2]} {PSU__USE__S_AXI_GP[0-6]} {PSU__MAXIGP[0-2]__DATA_WIDTH} {PSU__SAXIGP[0-6]__DATA_WIDTH}
        }
    } else {
        set patterns {
            PCW_EN_CLK0_PORT PCW_EN_RST0_PORT PCW_USE_FABRIC_INTERRUPT PCW_IRQ_F2P_INTR PCW_FPGA0_PERIPHERAL_FREQMHZ
            {PCW_USE_M_AXI_GP[01]} {PCW_USE_S_AXI_HP[0-3]} {PCW_S_AXI_HP[0-3]_DATA_WIDTH}
        }
    }
    foreach p $patterns { if {[string match $p $key]} { return 1 } }
    return 0
}

# Segments of one address block of the processing system; the first is DDR.
proc model::ps_segments {ip block} {
    if {$ip eq "zynq_ultra_ps_e"} {
        array set names {SAXIGP0 HPC0 SAXIGP1 HPC1 SAXIGP2 HP0 SAXIGP3 HP1 SAXIGP4 HP2 SAXIGP5 HP3}
        if {![info exists names($block)]} { error "ps has no address block $block" }
        set n $names($block)
        return [list ${n}_DDR_LOW ${n}_DDR_HIGH ${n}_QSPI ${n}_LPS_OCM]
    }
    if {![regexp {^S_AXI_HP([0-3])$} $block -> n]} { error "ps has no address block $block" }
    return [list HP${n}_DDR_LOWOCM]
}

# The interfaces of a module, read from the attributes and ports of its Verilog file.
proc model::read_module {path} {
    variable modules
    set f [open $path]; set text [read $f]; close $f
    if {![regexp {\nmodule\s+(\w+)} $text -> name]} { error "no module in $path" }
    set interfaces {}
    set pins {}
    foreach line [split $text \n] {
        if {[regexp {X_INTERFACE_INFO = "xilinx.com:interface:aximm:1.0 (\w+) (\w+)"} $line -> interface signal]} {
            if {$signal eq "ARVALID"} { set pending $interface }
        } elseif {[regexp {XIL_INTERFACENAME (\w+), PROTOCOL (\w+), DATA_WIDTH (\d+)} $line -> interface protocol bits]} {
            set ::model::axi_of($interface) [list $protocol $bits]
        } elseif {[regexp {^\s+(input|output)\s+wire\s+(\[\d+:0\]\s+)?(\w+)} $line -> direction range port]} {
            if {[info exists pending]} {
                lappend interfaces [list $pending [expr {$direction eq "output" ? "master" : "slave"}] aclk ""]
                unset pending
            }
            if {$port in {aclk aresetn irq_o}} { lappend pins [list $port [string range $direction 0 [expr {$direction eq "input" ? 1 : 2}]] ""] }
        }
    }
    set modules($name) [list $interfaces $pins]
}

# Protocol and data bits of an AXI interface of the accelerator or of a memory port.
proc model::axi {path} {
    variable cells
    variable axi_of
    lassign [split $path /] cell name
    if {$cell ne "ps"} { return $axi_of($name) }
    return [expr {$cells(ps) eq "zynq_ultra_ps_e" ? {AXI4 128} : {AXI3 64}}]
}

proc model::get {cell key {default ""}} {
    variable properties
    if {[info exists properties($cell,CONFIG.$key)]} { return $properties($cell,CONFIG.$key) }
    return $default
}

# Interfaces of a cell that are enabled: {name direction clock}.
proc model::interfaces {cell} {
    variable cells
    variable modules
    set type $cells($cell)
    switch -glob $type {
        zynq_ultra_ps_e - processing_system7 {
            array set defaults [ps_defaults $type]
            set all {}
            foreach i [ps_interfaces $type] {
                lassign $i name direction clock key
                set fallback [expr {[info exists defaults($key)] ? $defaults($key) : 0}]
                if {[get $cell $key $fallback]} { lappend all [list $name $direction $clock] }
            }
            return $all
        }
        smartconnect {
            set all {}
            for {set i 0} {$i < [get $cell NUM_SI 1]} {incr i} { lappend all [list [format S%02d_AXI $i] slave aclk] }
            for {set i 0} {$i < [get $cell NUM_MI 1]} {incr i} { lappend all [list [format M%02d_AXI $i] master aclk] }
            return $all
        }
        module:* { return [lindex $modules([string range $type 7 end]) 0] }
        default { return {} }
    }
}

# Scalar pins of a cell: {name direction}.
proc model::pins {cell} {
    variable cells
    variable modules
    set type $cells($cell)
    set all {}
    switch -glob $type {
        zynq_ultra_ps_e - processing_system7 {
            foreach p [ps_pins $type] {
                lassign $p name direction key
                if {[get $cell $key 0]} { lappend all [list $name $direction] }
            }
            foreach i [interfaces $cell] { lappend all [list [lindex $i 2] in] }
        }
        smartconnect { set all {{aclk in} {aresetn in}} }
        proc_sys_reset {
            set all {{slowest_sync_clk in} {ext_reset_in in} {peripheral_aresetn out} {interconnect_aresetn out}}
        }
        module:* { foreach p [lindex $modules([string range $type 7 end]) 1] { lappend all [lrange $p 0 1] } }
    }
    return $all
}

proc model::find {kind path listing} {
    variable cells
    lassign [split $path /] cell name
    if {![info exists cells($cell)]} { error "$kind: no cell $cell" }
    foreach item [$listing $cell] { if {[lindex $item 0] eq $name} { return $item } }
    error "$kind: cell $cell has no $name (or it is not enabled)"
}

# --- project -----------------------------------------------------------------------------------------------------------
proc create_project {args} {
    lassign [model::options create_project $args {-force 0 -part 1}] o rest
    lassign $rest name directory
    set model::part [dict get $o -part]
    set model::project_dir $directory
    file mkdir $directory
    model::note project $name $model::part
}
proc current_project {} { return project }
proc current_fileset {} { return sources_1 }
proc get_board_parts {args} {
    lassign [model::options get_board_parts $args {-quiet 0}] o rest
    if {$model::case eq "no_board_files"} { return {} }
    if {$rest ne "*:part0:*"} { error "get_board_parts: pattern $rest" }
    # Several versions and vendors installed, to see that the newest is taken, whoever's it is, and however its name is written.
    set all {}
    foreach name {Ultra96v1 ultra96v2 pynq-z2 zedboard zcu104 kv260_som other} {
        lappend all avnet.com:$name:part0:1.10 vendor.com:$name:part0:1.0 vendor.com:$name:part0:1.9
    }
    return $all
}
proc add_files {args} {
    lassign [model::options add_files $args {-norecurse 0 -fileset 1}] o rest
    foreach f [lindex $rest 0] {
        if {![file exists $f]} { error "add_files: no file $f" }
        if {$f in $model::sources} { error "add_files: $f twice" }
        lappend model::sources $f
        model::note file [expr {[dict exists $o -fileset] ? [dict get $o -fileset] : "sources_1"}] $f
        if {[file extension $f] eq ".v" && ![string match *_wrapper_bd.v $f]} { model::read_module $f }
    }
}
proc update_compile_order {args} { model::options update_compile_order $args {-fileset 1} }
proc set_property {args} {
    lassign [model::options set_property $args {-dict 1}] o rest
    if {[dict exists $o -dict]} {
        set pairs [dict get $o -dict]; set object [lindex $rest 0]
    } else {
        lassign $rest key value object
        set pairs [list $key $value]
    }
    if {[llength $pairs] % 2} { error "set_property: odd list" }
    if {$object eq ""} { error "set_property: no object" }
    foreach {key value} $pairs {
        if {[info exists model::cells($object)]} {
            set type $model::cells($object)
            set short [regsub {^CONFIG\.} $key ""]
            if {$type in {zynq_ultra_ps_e processing_system7} && ![model::ps_property_exists $type $short]} {
                error "set_property: $type has no property $short"
            }
            if {$type eq "smartconnect" && $short ni {NUM_SI NUM_MI}} { error "set_property: smartconnect has no $short" }
            if {$type in {zynq_ultra_ps_e processing_system7}} { model::ask_clock $object $short $value }
        } elseif {$key eq "synth_checkpoint_mode"} {
            if {$value ni {None Singular Hierarchical} || $object ne "$model::design.bd"} { error "set_property: $key $value $object" }
        } elseif {$key eq "strategy"} {
            set known {synth_1 Flow_PerfOptimized_high impl_1 Performance_Explore}
            if {[dict get $known $object] ne $value} { error "set_property: $object has no strategy $value" }
        } elseif {$key ni {board_part target_language top STEPS.SYNTH_DESIGN.ARGS.KEEP_EQUIVALENT_REGISTERS}} {
            error "set_property: unexpected property $key"
        }
        set model::properties($object,$key) $value
        model::note property $object $key $value
    }
}

# --- block design ------------------------------------------------------------------------------------------------------
proc create_bd_design {name} { set model::design $name; model::note design $name }
proc create_bd_cell {args} {
    lassign [model::options create_bd_cell $args {-type 1 -vlnv 1 -reference 1}] o rest
    set name [lindex $rest 0]
    if {[info exists model::cells($name)]} { error "create_bd_cell: $name twice" }
    if {[dict get $o -type] eq "module"} {
        set reference [dict get $o -reference]
        if {![info exists model::modules($reference)]} { error "create_bd_cell: no Verilog module $reference among the sources" }
        set model::cells($name) module:$reference
    } else {
        if {![regexp {^xilinx.com:ip:(zynq_ultra_ps_e|processing_system7|smartconnect|proc_sys_reset)$} [dict get $o -vlnv] -> ip]} {
            error "create_bd_cell: unknown IP [dict get $o -vlnv]"
        }
        set seven [string match xc7* $model::part]
        if {($ip eq "processing_system7") != $seven && $ip in {processing_system7 zynq_ultra_ps_e}} {
            error "create_bd_cell: $ip does not exist for $model::part"
        }
        set model::cells($name) $ip
    }
    model::note cell $name $model::cells($name)
    return $name
}
proc get_bd_cells {name} {
    if {![info exists model::cells($name)]} { error "no cell $name" }
    return $name
}
proc apply_bd_automation {args} {
    lassign [model::options apply_bd_automation $args {-rule 1 -config 1}] o rest
    set cell [lindex $rest 0]
    if {[dict get $o -rule] ne "xilinx.com:bd_rule:$model::cells($cell)"} { error "apply_bd_automation: rule of another cell" }
    set config [dict get $o -config]
    foreach key [dict keys $config] {
        if {$key ni {apply_board_preset make_external Master Slave}} { error "apply_bd_automation: unknown option $key" }
    }
    if {[dict get $config apply_board_preset] && ![info exists model::properties(project,board_part)]} {
        error "apply_bd_automation: a preset without a board part"
    }
    if {$model::cells($cell) eq "processing_system7" && [dict get $config make_external] ne "FIXED_IO, DDR"} {
        error "apply_bd_automation: the memory pins stay open"
    }
    if {[dict get $config apply_board_preset]} {
        foreach {key value} [model::preset [lindex [split $model::properties(project,board_part) :] 1]] {
            set model::properties($cell,CONFIG.$key) $value
        }
    }
    model::note automation $cell [dict get $config apply_board_preset]
}
proc get_bd_pins {path} { model::find get_bd_pins $path pins_of; return $path }
proc get_bd_intf_pins {path} { model::find get_bd_intf_pins $path interfaces_of; return $path }
proc model::pins_of {cell} { return [pins $cell] }
proc model::interfaces_of {cell} { return [interfaces $cell] }

proc connect_bd_net {args} {
    if {[llength $args] != 2} { error "connect_bd_net: the model takes a driver and one load" }
    lassign $args driver load
    if {[lindex [model::find connect_bd_net $driver pins_of] 1] ne "out"} { error "connect_bd_net: $driver drives nothing" }
    if {[lindex [model::find connect_bd_net $load pins_of] 1] ne "in"} { error "connect_bd_net: $load is no input" }
    if {[info exists model::net_of($load)]} { error "connect_bd_net: $load is driven already" }
    set model::net_of($load) $driver
    model::note net $driver $load
}
proc connect_bd_intf_net {master slave} {
    if {[lindex [model::find connect_bd_intf_net $master interfaces_of] 1] ne "master"} { error "$master is no master" }
    if {[lindex [model::find connect_bd_intf_net $slave interfaces_of] 1] ne "slave"} { error "$slave is no slave" }
    foreach end [list $master $slave] {
        if {[info exists model::link_of($end)]} { error "connect_bd_intf_net: $end is connected already" }
    }
    set model::link_of($master) $slave
    set model::link_of($slave) $master
    model::note link $master $slave
}
proc get_bd_addr_spaces {path} {
    lassign [split $path /] cell name
    if {$name eq "Data" && $model::cells($cell) in {zynq_ultra_ps_e processing_system7}} { return $path }
    if {[lindex [model::find get_bd_addr_spaces $path interfaces_of] 1] ne "master"} { error "$path is no address space" }
    return $path
}
proc get_bd_addr_segs {path} {
    lassign [split $path /] cell block segment
    if {![info exists model::cells($cell)]} { error "get_bd_addr_segs: no cell $cell" }
    if {[string match module:* $model::cells($cell)]} {
        model::find get_bd_addr_segs $cell/$block interfaces_of
        set names reg0
    } else {
        set names [model::ps_segments $model::cells($cell) $block]
    }
    set found {}
    foreach n $names { if {[string match $segment $n]} { lappend found $cell/$block/$n } }
    if {![llength $found]} { error "get_bd_addr_segs: nothing matches $path" }
    return $found
}
proc assign_bd_address {args} {
    lassign [model::options assign_bd_address $args {-offset 1 -range 1 -target_address_space 1}] o rest
    set space [dict get $o -target_address_space]
    set segment [lindex $rest 0]
    if {[llength $segment] != 1} { error "assign_bd_address: [llength $segment] segments" }
    if {[info exists model::assigned($space,$segment)]} { error "assign_bd_address: $segment twice in $space" }
    set model::assigned($space,$segment) 1
    # `dict get`, not `expr`: the record keeps the numbers as they were written.
    set place [dict merge {-offset default -range default} $o]
    model::note address $space $segment [dict get $place -offset] [dict get $place -range]
}
proc exclude_bd_addr_seg {args} {
    lassign [model::options exclude_bd_addr_seg $args {-target_address_space 1}] o rest
    lappend model::excluded [dict get $o -target_address_space],[lindex $rest 0]
}
# Every input driven, every interface connected, every clock the same, every DDR segment where its port leads.
proc validate_bd_design {} {
    set clocks {}
    foreach cell [lsort [array names model::cells]] {
        foreach pin [model::pins $cell] {
            lassign $pin name direction
            if {$direction eq "in" && ![info exists model::net_of($cell/$name)]} { error "validate: $cell/$name is open" }
        }
        foreach i [model::interfaces $cell] {
            lassign $i name direction clock
            if {![info exists model::link_of($cell/$name)]} { error "validate: interface $cell/$name is open" }
            lappend clocks $model::net_of($cell/$clock)
        }
        if {$model::cells($cell) in {zynq_ultra_ps_e processing_system7}} {
            if {![llength [array names model::assigned $cell/Data,*]]} { error "validate: $cell/Data sees nothing" }
        }
    }
    if {[llength [lsort -unique $clocks]] != 1} { error "validate: several clocks: [lsort -unique $clocks]" }
    foreach key [array names model::assigned] {
        lassign [split $key ,] space segment
        lassign [split $segment /] cell block
        if {$cell ne "ps"} { continue }
        # From the master, through its SmartConnect if it has one, to the port whose block this is.
        lassign [split $model::link_of($space) /] bridge port
        if {$bridge ne "ps"} {
            set port [lindex [split $model::link_of($bridge/M00_AXI) /] 1]
        } elseif {[lrange [model::axi $space] 0 1] ne [model::axi ps/$port]} {
            error "validate: $space is [model::axi $space], ps/$port is [model::axi ps/$port]: nothing converts"
        }
        set expected $port
        foreach i [model::ps_interfaces $model::cells(ps)] {
            if {[lindex $i 0] eq $port && [regexp {PSU__USE__S_AXI_GP(\d)} [lindex $i 3] -> n]} { set expected SAXIGP$n }
        }
        if {$block ne $expected} { error "validate: $space leads to $port, its segment is in $block" }
        if {[string match */*_DDR_HIGH $segment] && ![model::get ps PSU__HIGH_ADDRESS__ENABLE 0]} {
            error "validate: $segment is assigned, PSU__HIGH_ADDRESS__ENABLE is not set"
        }
        foreach name [model::ps_segments $model::cells(ps) $block] {
            set other $cell/$block/$name
            if {![info exists model::assigned($space,$other)] && "$space,$other" ni $model::excluded} {
                error "validate: $other is neither assigned to $space nor excluded"
            }
        }
    }
    model::note validated
}
proc save_bd_design {} {}
proc get_files {name} {
    if {$name ne "$model::design.bd"} { error "get_files: $name" }
    return $name
}
proc generate_target {kind file} {
    if {$kind ne "all" || $file ne "$model::design.bd"} { error "generate_target $kind $file" }
    set d [file join $model::project_dir cnna.gen sources_1 bd $model::design hw_handoff]
    file mkdir $d
    close [open [file join $d $model::design.hwh] w]
}
proc make_wrapper {args} {
    lassign [model::options make_wrapper $args {-files 1 -top 0}] o rest
    set f [file join $model::project_dir ${model::design}_wrapper_bd.v]
    close [open $f w]
    return $f
}

# --- runs and results --------------------------------------------------------------------------------------------------
proc get_runs {name} {
    if {$name ni {synth_1 impl_1}} { error "no run $name" }
    return $name
}
proc launch_runs {args} {
    lassign [model::options launch_runs $args {-to_step 1 -jobs 1}] o rest
    set run [lindex $rest 0]
    set d [file join $model::project_dir cnna.runs $run]
    file mkdir $d
    if {$run eq "impl_1"} {
        if {[dict get $o -to_step] ne "write_bitstream"} { error "launch_runs: no bitstream" }
        close [open [file join $d ${model::design}_wrapper.bit] w]
    }
    model::note run $run
}
proc wait_on_run {run} { get_runs $run }
proc open_run {run} { get_runs $run }
proc get_timing_paths {args} {
    lassign [model::options get_timing_paths $args {-max_paths 1 -nworst 1 -setup 0 -hold 0}] o rest
    return path
}
proc get_property {key object} {
    switch $key {
        PROGRESS { return [expr {$model::case eq "run_fails" && $object eq "impl_1" ? "60%" : "100%"}] }
        STATUS { return "place_design ERROR" }
        DIRECTORY { return [file join $model::project_dir cnna.runs $object] }
        CONFIG.FREQ_HZ {
            if {$object ni {ps/pl_clk0 ps/FCLK_CLK0}} { error "get_property: no clock $object" }
            return [expr {round(($model::case eq "no_clock" ? 0.9 : 0.99999) * 1e6 * $model::asked)}]
        }
        SLACK { return [expr {$model::case eq "slow" ? -0.125 : 0.25}] }
        default { error "get_property: unexpected $key" }
    }
}
proc model::report {command arguments spec} {
    lassign [options $command $arguments $spec] o rest
    close [open [dict get $o -file] w]
    note report [file tail [dict get $o -file]]
}
proc report_utilization {args} { model::report report_utilization $args {-hierarchical 0 -file 1} }
proc report_timing_summary {args} { model::report report_timing_summary $args {-file 1} }
proc write_hw_platform {args} {
    lassign [model::options write_hw_platform $args {-fixed 0 -include_bit 0 -force 0 -file 1}] o rest
    close [open [dict get $o -file] w]
}
proc get_cells {args} {
    lassign [model::options get_cells $args {-quiet 0 -hierarchical 0 -filter 1}] o rest
    foreach part {DSP48 i_mac AREG BREG} {
        if {[string first $part [dict get $o -filter]] < 0} { error "get_cells: the model knows multipliers only" }
    }
    return [expr {$model::case eq "bare_dsp" ? "system_i/cnna/inst/top/i_array/i_mac/p_q" : ""}]
}
proc write_cfgmem {args} {
    lassign [model::options write_cfgmem $args {-force 0 -format 1 -interface 1 -disablebitswap 0 -loadbit 1 -file 1}] o rest
    # Taken apart at blanks, quoted or not.
    lassign [split [dict get $o -loadbit]] up offset bit
    if {$up ne "up" || ![file exists $bit]} { error "write_cfgmem: no bitstream $bit" }
    close [open [dict get $o -file] w]
}

# Nothing else exists: no shell commands, no auto-loading.
proc unknown {name args} { error "unknown command $name" }

set script [lindex $argv 0]
# The script asks `info script` where it is, so it must be sourced under its own name.
set status [catch {source $script} message details]
set f [open $env(CNNA_RECORD) w]
puts $f [join $model::record \n]
close $f
if {$status} { puts stderr $message; if {[info exists env(CNNA_TRACE)]} { puts stderr [dict get $details -errorinfo] }; exit 1 }
