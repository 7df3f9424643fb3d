//! Mistakes for the RTL, one at a time: `make mutations` runs the random networks of [`crate::rtl`] on each.
//!
//! A mistake that lives is a hole in those networks: widen what they draw. With each new unit of RTL belong mistakes in it.

use crate::rtl::board;
use cnna_hdl::sources;
use cnna_machine::Board;

/// A mistake in a file.
pub struct Mutation {
    file: &'static str,
    /// Text that occurs in it once.
    find: &'static str,
    replace: &'static str,
    /// What is wrong then.
    pub what: &'static str,
}

macro_rules! mutations {
    ($($what:literal: $file:literal, $find:literal => $replace:literal;)*) => {
        &[$(Mutation { file: $file, find: $find, replace: $replace, what: $what }),*]
    };
}

/// All of them.
pub const MUTATIONS: &[Mutation] = mutations! {
    "the fused maximum compares unsigned":
        "post.sv", "return ($signed(a) > $signed(b)) ? a : b;" => "return (a > b) ? a : b;";
    "what a shift cuts off above is looked at from eight places too high":
        "requantise.sv", "shift_i[5:3] <= 3'(k)" => "shift_i[5:3] < 3'(k)";
    "DIRECT's fused pooling forgets its upper row":
        "post.sv", "larger(pairs_q[l % (2*T)], above_q[l % (2*T)])" => "pairs_q[l % (2*T)]";
    "WINOGRAD's fused pooling forgets its lower row":
        "post.sv", "larger(pairs_q[l % T], pairs_q[T + (l % T)])" => "pairs_q[l % T]";
    "a window's row wraps into the ring one line late":
        "cnna_window.sv", "if (row_q >= next_limit_q)" => "if (row_q > next_limit_q)";
    "a tap's row never carries into the next slot":
        "cnna_window.sv", "if (slot_carry)" => "if (1'b0)";
    "a tap's column phase does not go back to zero":
        "cnna_window.sv", "px_off_d = 16'd0;" => "px_off_d = px_off_q;";
    "a weight row is used for seven steps":
        "cnna_weight_address.sv", "at_word_q[1] & (at_word_q[0] | paired_i)" => "at_word_q[1]";
    "a pooled tile moves a whole tile on":
        "cnna_result_address.sv", "quarter_step = quarter_step >> 1;" => "quarter_step = quarter_step;";
    "the row mask lets one row too many in":
        "act_buffer.sv", "16'(y_i + 16'(i)) < h_i" => "16'(y_i + 16'(i)) <= h_i";
    "the column mask lets one column too many in":
        "act_buffer.sv", "16'(x_i + 16'(j)) < w_i" => "16'(x_i + 16'(j)) <= w_i";
    "POOL reads zero outside the map":
        "act_buffer.sv", "pool_s[3] ? {1'b1, {(W-1){1'b0}}} : '0" => "'0";
    "a row bank takes the slot of its neighbour":
        "act_buffer.sv", "(2'(i) >= yb_q) ? a_q : b_q" => "(2'(i) > yb_q) ? a_q : b_q";
    "a column bank takes the line of its neighbour":
        "act_buffer.sv", "(ColW'(j) >= xb_q) ? 0 : 1" => "(ColW'(j) > xb_q) ? 0 : 1";
    "the bias row stays where it is":
        "post.sv", ": {2'b0, lane_q[15:2]};" => ": 16'd0;";
    "VECTOR takes its neighbour's bias":
        "post.sv", "bias[k] = bias_i[k*64 +: 64]" => "bias[k] = bias_i[((k + 1) % 4)*64 +: 64]";
    "nothing is added behind the shift to the right":
        "requantise.sv", " + $signed({{(Kept-1){1'b0}}, kept_q[0]})" => "";
    "ReLU is always on":
        "post.sv", "return relu ? '0 : ~Max;" => "return '0;";
    "a late residual's saturations count outside the result":
        "post.sv", "(late_over | late_under) & side_q[16].valid" => "late_over | late_under";
    "saturation counts outside the result":
        "post.sv", "side_q[8].valid[l] & clipped[l]" => "clipped[l]";
    "POOL compares unsigned":
        "pool_unit.sv", "$signed(v_i[k*VW +: W]) > $signed(max_q[k*W +: W])" => "v_i[k*VW +: W] > max_q[k*W +: W]";
    "POOL goes on from the maximum before":
        "pool_unit.sv", "if (first_i | (" => "if ((";
    "U's third row adds":
        "u_transform.sv", "wider(word[j]) - wider(word[3+j])" => "wider(word[j]) + wider(word[3+j])";
    "V's last row is negative":
        "v_transform.sv", "pixel(1, 2*t + j) - pixel(3, 2*t + j)" => "pixel(3, 2*t + j) - pixel(1, 2*t + j)";
    "the inverse's second row adds":
        "post.sv", "element(t, 2, j) - element(t, 3, j)" => "element(t, 2, j) + element(t, 3, j)";
    "accumulators are never cleared":
        "mac.sv", "(clear_i ? 48'sd0 : acc_o)" => "acc_o";
    "a lane too many delivers":
        "lane.sv", "8'(Index) < lanes_i" => "8'(Index) <= lanes_i";
    "planes lie on each other":
        "load_engine.sv", "offset_q + rx.plane_pitch" => "offset_q";
    "a channel's row does not end its line":
        "load_engine.sv", "next_pos[PosW] | (dealt & last_chan)" => "next_pos[PosW]";
    "a local store asks for its bursts too":
        "store_engine.sv", "cmd_i[STORE_LOCAL] ? '0 : cmd_i[STORE_ROWS +: STORE_ROWS_W]" => "cmd_i[STORE_ROWS +: STORE_ROWS_W]";
    "the words of a local beat come from the bus":
        "load_engine.sv", ": data[source[j]*W +: W]" => ": rdata_i[source[j]*W +: W]";
    "both rows at once are the first one":
        "load_engine.sv", "rx.local_beats ? local_second_i : held_data" => "rx.local_beats ? data : held_data";
    "sums of the first group are those of its last pass":
        "post.sv", "kept_q[{side_q[2].place, side_q[2].slice}];" => "kept_q[{KeptW'(0), side_q[2].slice}];";
    "lane 0 has no result where sums are reused":
        "post.sv", "paired & ~pass.reuses & (lane_q" => "paired & (lane_q";
    "a command that goes on begins anew":
        "post.sv", "pass.begins & (pass.xcol == '0)" => "pass.xcol == '0";
    "both rows from memory are the first one":
        "load_engine.sv", "rx.local_beats ? local_second_i : held_data" => "rx.local_beats ? local_second_i : data";
    "the second row comes from the first one's address":
        "load_engine.sv", "cmd_i[LOAD_DDR +: LOAD_DDR_W] + cmd_i[LOAD_SECOND +: LOAD_SECOND_W]" => "cmd_i[LOAD_DDR +: LOAD_DDR_W]";
    "a beat does not wait for the second port's":
        "load_engine.sv", "rx.both & ~rx.local_beats & ~held_valid" => "1'b0";
    "odd columns that come late go to both banks":
        "load_engine.sv", "~late_q & rx.both" => "rx.both";
    "the row behind two at once comes from the other bank":
        "store_engine.sv", "~bank_q & ~both_q" => "~bank_q";
    "a local load is not taken for one behind a load from memory":
        "load_engine.sv", "takes & ~rx.local_beats" => "takes";
    "a store's rows lie on each other":
        "store_engine.sv", "row_addr_q <= row_addr_q + row_stride_q" => "row_addr_q <= row_addr_q";
    "a store's third row comes from its first's lines":
        "store_engine.sv", "(bank_q | both_q) ? row_line_q + row_pitch_q : row_line_q" => "row_line_q";
    "a fence does not wait for the writes before it":
        "store_engine.sv", "(state_q == MarkWait) & ~in_flight_o & desc_ready" => "(state_q == MarkWait) & (fence_q | ~in_flight_o) & desc_ready";
    "all parts of a folded row count as wide":
        "post.sv", "(is_short ? 16'(pass.lacking) : 16'd0)" => "16'd0";
    "a lane's weights go to another":
        "array.sv", "wlane_i[P*8 +: 8] == 8'(m / Ports)" => "wlane_i[P*8 +: 8] == 8'(m % Ports)";
    "8-bit weights take the beat's lower half twice":
        "weight_port.sv", "half = upper_q ?" => "half = 1'b0 ?";
    "8-bit weights are not shifted up":
        "weight_port.sv", "<< (W - 8)" => "<< 0";
    "the second channel of a pair has no weight":
        "u_transform.sv", "second_q <= paired_i ?" => "second_q <= 1'b0 ?";
    "the second channel of a pair is seen outside the map":
        "act_buffer.sv", "rmask_s[3][i] & cmask_s[3][j] & paired_s[3]" => "paired_s[3]";
    "a single channel is always of the lower set":
        "act_buffer.sv", "[AddrW-1] & ~paired_s[0]" => "[AddrW-1] & 1'b0";
    "what lane 0 finds is not taken back":
        "post.sv", "(side_q[2].paired ? kept[" => "(1'b0 ? kept[";
    "lane 0's sums take a channel's place":
        "post.sv", "correction ? 16'd0 : pass.c_pitch" => "pass.c_pitch";
    "lane 0's saturations count":
        "post.sv", "valid: (valid_i & ~correction) ?" => "valid: valid_i ?";
    "a pair's second channel goes to the next lines":
        "load_engine.sv", "if (~line[SetBit]) next_line = first;" => ";";
    "the gearbox keeps a word too many":
        "weight_port.sv", "rest = rdata_i >> (g*W);" => "rest = rdata_i >> ((g-1)*W);";
};

/// The machine that they are made in.
pub fn machine() -> Board {
    board(1, 5, 16, 2, 256, true)
}

/// Name and text of a board's RTL. Errors: its sources cannot be made.
pub fn files(board: &Board) -> Result<Vec<(String, String)>, String> {
    let files = sources::rtl(board).map_err(|e| e.to_string())?;
    Ok(files.into_iter().map(|f| (f.name, f.text)).collect())
}

impl Mutation {
    /// Makes the mistake in the RTL. Errors: the text is not there, or not once.
    pub fn make(&self, files: &mut [(String, String)]) -> Result<(), String> {
        let text = files.iter_mut().find(|(name, _)| name == self.file);
        let (_, text) = text.ok_or_else(|| format!("there is no {}", self.file))?;
        let found = text.matches(self.find).count();
        if found != 1 {
            return Err(format!(
                "`{}` occurs {found} times in {}",
                self.find, self.file
            ));
        }
        *text = text.replace(self.find, self.replace);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_can_be_made_in_the_rtl_of_today() {
        let rtl = files(&machine()).unwrap();
        let wrong = MUTATIONS.iter().filter_map(|m| {
            let error = m.make(&mut rtl.clone()).err()?;
            Some(format!("{}: {error}", m.what))
        });
        assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
    }
}
