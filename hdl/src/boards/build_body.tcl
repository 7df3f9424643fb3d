# From here on the script is the same for every board.

set here [file dirname [file normalize [info script]]]
set out [file join $here out]
set design system
file mkdir $out

# --- project -----------------------------------------------------------------------------------------------------------
create_project -force cnna [file join $here vivado] -part $part
if {$board_part ne ""} {
    # Vendor, case and version of a board's files move with Vivado: take the newest that is installed under its first name.
    proc version {board} { lindex [split $board :] 3 }
    proc older {a b} { package vcompare [version $a] [version $b] }
    set found ""
    foreach wanted $board_part {
        foreach candidate [lsort -command older [get_board_parts -quiet *:part0:*]] {
            if {[string equal -nocase [lindex [split $candidate :] 1] [lindex [split $wanted :] 1]]} { set found $candidate }
        }
        if {$found ne ""} { break }
    }
    if {$found eq ""} {
        error "the files of board part $board_part are not installed: get them from Vivado's board store or the board's\
            vendor, or generate again with --set platform.board_part= (good for loading from a running Linux only)"
    }
    if {$found ni $board_part} { puts "WARNING: using board part $found instead of $board_part" }
    set_property board_part $found [current_project]
}
set_property target_language Verilog [current_project]
# Lists, since add_files takes several: a folder's name may have blanks.
foreach f $rtl_files { add_files -norecurse [list [file join $here $f]] }
add_files -norecurse [list [file join $here $module.v]]
add_files -fileset constrs_1 -norecurse [list [file join $here constraints.xdc]]
update_compile_order -fileset sources_1

# --- block design ------------------------------------------------------------------------------------------------------
create_bd_design $design
create_bd_cell -type ip -vlnv $ps_ip ps
apply_bd_automation -rule $ps_rule -config $ps_automation [get_bd_cells ps]
if {[llength $ps_first]} {
    set settings {}
    foreach {key value} $ps_first { lappend settings CONFIG.$key $value }
    set_property -dict $settings [get_bd_cells ps]
}
set settings [list CONFIG.$ps_clock_property $clock_mhz]
foreach {key value} $ps_config { lappend settings CONFIG.$key $value }
set_property -dict $settings [get_bd_cells ps]

create_bd_cell -type module -reference $module cnna
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset

# One clock for everything; the reset controller makes the reset synchronous to it.
proc clocked {pin} {
    global ps_clock
    connect_bd_net [get_bd_pins ps/$ps_clock] [get_bd_pins $pin]
}
proc clocked_and_reset {cell clock reset_pin} {
    clocked $cell/$clock
    connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins $cell/$reset_pin]
}
proc smartconnect {name slaves} {
    create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect $name
    set_property -dict [list CONFIG.NUM_SI $slaves CONFIG.NUM_MI 1] [get_bd_cells $name]
    clocked_and_reset $name aclk aresetn
}
proc connect_axi {master slave} {
    connect_bd_intf_net [get_bd_intf_pins $master] [get_bd_intf_pins $slave]
}
clocked reset/slowest_sync_clk
connect_bd_net [get_bd_pins ps/$ps_reset] [get_bd_pins reset/ext_reset_in]
clocked_and_reset cnna aclk aresetn
connect_bd_net [get_bd_pins cnna/irq_o] [get_bd_pins ps/$ps_interrupt]

# Registers: the processor's master port, made AXI4-Lite by the SmartConnect.
smartconnect registers 1
clocked ps/$ps_master_clock
connect_axi ps/$ps_master registers/S00_AXI
connect_axi registers/M00_AXI cnna/s_axil
assign_bd_address -offset $register_base -range $register_bytes \
    -target_address_space [get_bd_addr_spaces ps/Data] [get_bd_addr_segs cnna/s_axil/*]

# Memory: masters that are as the port is go straight to it, others behind a SmartConnect, which adapts width, burst length and
# protocol.
foreach {port clock block segments masters direct} $ps_slaves {
    set bridge memory_[string tolower $port]
    clocked ps/$clock
    if {$direct} {
        connect_axi cnna/$masters ps/$port
    } else {
        smartconnect $bridge [llength $masters]
        connect_axi $bridge/M00_AXI ps/$port
    }
    set index 0
    foreach master $masters {
        if {!$direct} { connect_axi cnna/$master $bridge/[format S%02d_AXI $index] }
        incr index
        set space [get_bd_addr_spaces cnna/$master]
        foreach segment $segments {
            assign_bd_address -target_address_space $space [get_bd_addr_segs ps/$block/$segment]
        }
        # The accelerator has no business in flash, on-chip memory, or high memory that its window does not lie in.
        foreach other [get_bd_addr_segs ps/$block/*] {
            if {[file tail $other] ni $segments} { exclude_bd_addr_seg -target_address_space $space $other }
        }
    }
}

validate_bd_design
save_bd_design
# What the processing system's clock will be, not what was asked for.
set hz [get_property CONFIG.FREQ_HZ [get_bd_pins ps/$ps_clock]]
if {abs($hz / 1e6 - $clock_mhz) > 0.01 * $clock_mhz} {
    error "the processing system would give $hz Hz instead of $clock_mhz MHz: the board's preset fixes its clocks, or its PLLs\
        cannot make this one; set clock_mhz in the board file to what they can"
}
set bd_file [get_files $design.bd]
# Synthesised as one design: a module reference of its own would be with default settings.
set_property synth_checkpoint_mode None $bd_file
generate_target all $bd_file
add_files -norecurse [list [make_wrapper -files $bd_file -top]]
set_property top ${design}_wrapper [current_fileset]
update_compile_order -fileset sources_1

# --- synthesis and implementation --------------------------------------------------------------------------------------
proc finish {run} {
    wait_on_run $run
    if {[get_property PROGRESS [get_runs $run]] ne "100%"} {
        error "$run failed ([get_property STATUS [get_runs $run]]): see runme.log in [get_property DIRECTORY [get_runs $run]]"
    }
}
set_property strategy Flow_PerfOptimized_high [get_runs synth_1]
# The array's copies of one register are meant: they are near what they drive.
set_property STEPS.SYNTH_DESIGN.ARGS.KEEP_EQUIVALENT_REGISTERS true [get_runs synth_1]
set_property strategy Performance_Explore [get_runs impl_1]
launch_runs synth_1 -jobs 4
finish synth_1
launch_runs impl_1 -to_step write_bitstream -jobs 4
finish impl_1

open_run impl_1
set bare [get_cells -quiet -hierarchical -filter {REF_NAME =~ DSP48* && NAME =~ *i_mac* && (AREG == 0 || BREG == 0)}]
if {[llength $bare]} {
    error "[llength $bare] multipliers have no input registers of their own, [lindex $bare 0] among them: the clock is out of\
        reach; synthesis settings have changed"
}
report_utilization -hierarchical -file [file join $out utilisation.rpt]
report_timing_summary -file [file join $out timing.rpt]
set slack [get_property SLACK [get_timing_paths -max_paths 1 -nworst 1 -setup]]
set hold [get_property SLACK [get_timing_paths -max_paths 1 -nworst 1 -hold]]
if {$slack < 0 || $hold < 0} {
    error "timing is not met (setup slack $slack ns, hold slack $hold ns at $clock_mhz MHz): see out/timing.rpt,\
        and lower clock_mhz in the board file"
}

# --- results -----------------------------------------------------------------------------------------------------------
set bit [file join $out cnna.bit]
file copy -force [file join [get_property DIRECTORY [get_runs impl_1]] ${design}_wrapper.bit] $bit
# Linux wants the words of the bitstream byte-swapped and without the header.
# -loadbit takes no path with blanks.
cd $out
write_cfgmem -force -format BIN -interface SMAPx32 -disablebitswap -loadbit "up 0x0 cnna.bit" -file $firmware
write_hw_platform -fixed -include_bit -force -file [file join $out cnna.xsa]
# PYNQ reads the hardware description beside the bitstream; its directory depends on Vivado's version.
foreach kind {gen srcs} {
    set hwh [file join $here vivado cnna.$kind sources_1 bd $design hw_handoff $design.hwh]
    if {[file exists $hwh]} { file copy -force $hwh [file join $out cnna.hwh] }
}
puts "cnna: $board at $clock_mhz MHz, setup slack $slack ns: [file join $out $firmware]"
