//! Integers of a float graph, by every method that the options allow, and the best of them.

use super::equalise::View;
use super::table::Power;
use super::weights::{self, Rounding};
use super::{
    Agreement, FloatModel, Measured, Method, Narrow, Options, PtqError, Seen, WORTH_DB, classes,
    correct, formats, table,
};
use cnna_machine::num::Word;
use cnna_net::{Graph, Tensor, TensorId, settle};

/// A float graph to quantise, and what is known of it.
pub(super) struct Subject<'s> {
    pub float: &'s Graph,
    /// Formats that tensors must have.
    pub given: &'s [Option<i32>],
    pub seen: &'s Seen,
    /// How its tensors' values differ from those of the network that it is compared with.
    pub views: &'s [Option<View>],
    /// The network that it is compared with.
    pub model: &'s FloatModel<'s>,
    /// On some of the calibration images.
    pub measured: &'s Measured<'s>,
    /// All of them.
    pub images: &'s Measured<'s>,
}

/// A subject as integers.
pub(super) struct Attempt {
    pub graph: Graph,
    /// The worst output's signal-to-noise.
    pub db: f64,
    pub powers: Vec<Power>,
    pub method: Method,
    pub corrected: bool,
    /// Of a classifier with weights of eight bits.
    pub agreement: Option<Agreement>,
}

impl Subject<'_> {
    /// Integers by one method.
    fn with(
        &self,
        method: Method,
        how: &Rounding,
        biases: &[Option<Vec<f32>>],
    ) -> Result<Graph, PtqError> {
        let (float, word) = (self.float, self.float.word);
        let bounds = formats::bounds(float);
        let ranges = self.seen.ranges.iter().zip(&bounds);
        let own = ranges.map(|(r, b)| r.frac(method, word, *b));
        let wanted = self.given.iter().zip(own).map(|(g, own)| g.unwrap_or(own));
        let mut fracs = formats::assign(float, wanted.collect(), word);
        let own = fracs.iter_mut().zip(self.given);
        own.for_each(|(f, given)| *f = given.unwrap_or(*f));
        let mut graph = weights::round(float, fracs, how, biases)?;
        settle::settle(&mut graph)?;
        Ok(graph)
    }

    /// What a graph's integers of that rounding are worth. Beside the reals there are one layer's words at a time.
    fn errors(&self, graph: Graph, how: &Rounding) -> Result<(f64, Vec<Power>), PtqError> {
        let rounded = weights::Rounded::new(graph, self.float, how);
        let integers = table::Integers {
            graph: &rounded.graph,
            op: &|n| rounded.operator(n),
        };
        let powers = table::powers(&integers, self.model, self.measured, self.views)?;
        let db = table::worst_output(&rounded.graph, &powers).unwrap_or(f64::INFINITY);
        Ok((db, powers))
    }

    /// The best integers that the options allow.
    ///
    /// Errors: as the reference run; formats that no shift of the machine holds.
    pub fn best(&self, options: &Options) -> Result<Attempt, PtqError> {
        let mut rounding = Rounding {
            per_channel: options.per_channel,
            narrow: vec![options.narrow == Narrow::All; self.float.tensors.len()],
        };
        let mut best: Option<(f64, Method, Vec<Tensor>, Vec<Power>)> = None;
        let tried = match (options.method, options.word) {
            (Some(m), _) => vec![m],
            (None, Word::W16) => vec![Method::Max],
            (None, Word::W8) => Method::ALL.to_vec(),
        };
        for method in tried {
            let graph = self.with(method, &rounding, &[])?;
            // The same formats give the same integers.
            if best
                .as_ref()
                .is_some_and(|(_, _, t, _)| *t == graph.tensors)
            {
                continue;
            }
            let tensors = graph.tensors.clone();
            let (db, powers) = self.errors(graph, &rounding)?;
            if best.as_ref().is_none_or(|(b, ..)| db > *b + WORTH_DB) {
                best = Some((db, method, tensors, powers));
            }
        }
        let (db, method, _, powers) = best.expect("at least one method was tried");
        if options.word == Word::W8 || options.narrow == Narrow::Off {
            return self.corrected(method, &rounding, (db, powers));
        }
        let mut picked = Vec::new();
        if options.narrow == Narrow::Auto {
            let rounded = |how: &Rounding| self.with(method, how, &[]);
            picked = weights::pick(rounded, options.per_channel, self.model, self.measured)?;
            picked.iter().for_each(|&t| rounding.narrow[t] = true);
        }
        self.narrowed(method, rounding, picked)
    }

    /// Integers of a rounding that has weights of eight bits. Of the layers that may go back to sixteen so many do, from the first
    /// on, that a classifier's classes stay.
    fn narrowed(
        &self,
        method: Method,
        mut rounding: Rounding,
        may_go_back: Vec<TensorId>,
    ) -> Result<Attempt, PtqError> {
        let attempt = |how: &Rounding| {
            let known = self.errors(self.with(method, how, &[])?, how)?;
            self.corrected(method, how, known)
        };
        let classes = match classes::output(self.float) {
            Some(output) if rounding.narrow.contains(&true) => {
                let wide = Rounding {
                    narrow: Vec::new(),
                    ..rounding
                };
                let wide = attempt(&wide)?.graph;
                Some(classes::Classes::new(&wide, output, self.images)?)
            }
            _ => None,
        };
        let mut done = attempt(&rounding)?;
        let Some(mut classes) = classes else {
            return Ok(done);
        };
        let same = classes.same(&done.graph)?;
        let mut agreement = Agreement {
            same,
            images: classes.len(),
            same_by_db: same,
            taken_back: Vec::new(),
        };
        for t in may_go_back {
            if agreement.holds() {
                break;
            }
            rounding.narrow[t] = false;
            let name = self.float.tensors[t].name.clone();
            agreement.taken_back.push(name);
            // One graph of words at a time.
            drop(done);
            done = attempt(&rounding)?;
            agreement.same = classes.enough(&done.graph)?.unwrap_or(agreement.same);
        }
        done.agreement = Some(agreement);
        Ok(done)
    }

    /// Integers of a rounding, what they are worth being known, with the biases corrected where that is better.
    fn corrected(
        &self,
        method: Method,
        rounding: &Rounding,
        (mut db, mut powers): (f64, Vec<Power>),
    ) -> Result<Attempt, PtqError> {
        let quantised = self.with(method, rounding, &[])?;
        let biases = correct::corrected(self.float, &quantised, &self.seen.means);
        // One graph of words at a time: making the first again is cheaper than the memory of both.
        drop(quantised);
        let mut corrected = false;
        // Where a mean is far beyond its tensor's format the correction may not fit, and would be of no use.
        if let Ok(graph) = self.with(method, rounding, &biases) {
            let (its_db, its) = self.errors(graph, rounding)?;
            if its_db > db {
                (corrected, db, powers) = (true, its_db, its);
            }
        }
        let kept: &[_] = if corrected { &biases } else { &[] };
        let graph = self.with(method, rounding, kept)?;
        Ok(Attempt {
            graph,
            db,
            powers,
            method,
            corrected,
            agreement: None,
        })
    }
}
