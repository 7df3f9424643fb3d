//! From the space to the front: a sample, then the neighbours of the front, and the simulator for whoever is on it.

use crate::error::ExploreError;
use crate::front::front;
use crate::plan::{Cost, Network, plan, simulate};
use crate::space::{Axis, Point, Space};
use cnna_flow::Session;
use cnna_host::HostError;
use cnna_machine::Board;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// What to explore.
pub struct Request<'a> {
    /// At least one; each runs once on every machine.
    pub networks: &'a [Network],
    /// The chip, its memory, and the shape to begin with.
    pub board: &'a Board,
    /// What may change of the shape.
    pub axes: &'a [Axis],
    /// Machines to plan, at most.
    pub machines: usize,
    /// Of the sample.
    pub seed: u64,
}

/// One machine and what the networks cost on it.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The board file with its shape; its name tells the shape.
    pub board: Board,
    /// One a network.
    pub costs: Vec<Cost>,
    /// It is on one of the fronts, and simulated.
    pub front: bool,
    #[serde(skip)]
    point: Point,
}

/// What a machine costs of one kind, less is better.
pub type Price = fn(&Machine) -> u64;

/// What is drawn against cycles.
pub const AGAINST: [(&str, Price); 4] = [
    ("DSP", |m| m.board.accelerator.all_dsps() as u64),
    ("BRAM36", |m| m.board.accelerator.bram36() as u64),
    ("LUT", |m| m.board.accelerator.luts() as u64),
    ("DDR bytes", |m| m.ddr_bytes()),
];

impl Machine {
    /// Of all networks, each once.
    pub fn cycles(&self) -> u64 {
        self.costs.iter().map(Cost::cycles).sum()
    }

    /// Of all networks, each once, at the board's planned clock.
    pub fn milliseconds(&self) -> f64 {
        self.cycles() as f64 / (self.board.clock_mhz * 1e3)
    }

    /// Of all networks, each once.
    pub fn ddr_bytes(&self) -> u64 {
        self.costs.iter().map(|c| c.ddr_bytes).sum()
    }

    fn is_simulated(&self) -> bool {
        self.costs.iter().all(|c| c.simulated.is_some())
    }
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Exploration {
    /// The networks' names.
    pub networks: Vec<String>,
    /// The board's name.
    pub board: String,
    /// Shapes along the axes, those beyond the chip included.
    pub space: usize,
    /// Shapes that the chip holds and a network does not fit, for example in a buffer.
    pub unfit: usize,
    /// Planned ones; the board's own first.
    pub machines: Vec<Machine>,
    /// The fastest on the front, by index; of equally fast ones that with fewest look-up tables.
    pub chosen: usize,
}

impl Exploration {
    /// The members of the front of cycles against one of [`AGAINST`], by index, the smallest first.
    pub fn front(&self, against: fn(&Machine) -> u64) -> Vec<usize> {
        front_of(&self.machines, against)
    }
}

fn front_of(machines: &[Machine], against: fn(&Machine) -> u64) -> Vec<usize> {
    let points: Vec<(f64, f64)> = machines
        .iter()
        .map(|m| (against(m) as f64, m.cycles() as f64))
        .collect();
    front(&points)
}

/// The members of all fronts.
fn fronts(machines: &[Machine]) -> Vec<usize> {
    let all = AGAINST.iter().flat_map(|(_, of)| front_of(machines, *of));
    let mut all: Vec<usize> = all.collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Machines of a round: enough for every core, few enough that the next round knows their front.
const ROUND: usize = 64;

/// A sample of the space is planned, then neighbours of the front, until there are as many machines as asked for or no new
/// one; whoever is then on a front of cycles against DSPs, block RAMs, look-up tables or bytes over DDR is simulated, until
/// the fronts consist of simulated machines.
///
/// Errors: a network that the board's own machine cannot run, the simulator's, interrupted.
pub fn explore(request: &Request<'_>, session: &Session<'_>) -> Result<Exploration, ExploreError> {
    let space = Space::new(request.board, request.axes);
    let mut search = Search {
        request,
        session,
        space: &space,
        seen: HashSet::new(),
        machines: Vec::new(),
        unfit: 0,
    };
    session.progress.begin(
        "planning machines",
        Some(request.machines as u64),
        "machines",
    );
    search.own()?;
    search.sample()?;
    search.climb()?;
    session.progress.end();
    search.simulate_front()?;
    let machines = search.machines;
    let on_front = machines.iter().enumerate().filter(|(_, m)| m.front);
    let fastest = on_front.min_by_key(|(_, m)| (m.cycles(), m.board.accelerator.luts()));
    Ok(Exploration {
        networks: request.networks.iter().map(|n| n.name.clone()).collect(),
        board: request.board.name.clone(),
        space: space.len(),
        unfit: search.unfit,
        chosen: fastest.map_or(0, |(i, _)| i),
        machines,
    })
}

struct Search<'a> {
    request: &'a Request<'a>,
    session: &'a Session<'a>,
    space: &'a Space<'a>,
    seen: HashSet<Point>,
    machines: Vec<Machine>,
    unfit: usize,
}

impl Search<'_> {
    fn room(&self) -> usize {
        self.request.machines.saturating_sub(self.machines.len())
    }

    /// Plans boards in parallel and keeps what fits. Errors: interrupted.
    fn plan(&mut self, boards: Vec<(Point, Board)>) -> Result<(), ExploreError> {
        let (before, done) = (self.machines.len() as u64, AtomicU64::new(0));
        let planned: Vec<Option<Machine>> = boards
            .into_par_iter()
            .map(|(point, board)| {
                if self.session.stop.load(Ordering::SeqCst) {
                    return None;
                }
                let costs = self.request.networks.iter().map(|n| plan(n, &board));
                let costs = costs.collect::<Result<_, _>>().ok();
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                self.session.progress.at(before + done);
                Some(Machine {
                    costs: costs?,
                    board,
                    front: false,
                    point,
                })
            })
            .collect();
        if self.session.stop.load(Ordering::SeqCst) {
            return Err(HostError::Interrupted.into());
        }
        self.unfit += planned.iter().filter(|m| m.is_none()).count();
        self.machines.extend(planned.into_iter().flatten());
        Ok(())
    }

    /// The board as it is, whether or not it lies on the axes. Errors: a network that it cannot run.
    fn own(&mut self) -> Result<(), ExploreError> {
        let board = self.request.board;
        let costs = self.request.networks.iter().map(|n| plan(n, board));
        let costs = costs.collect::<Result<_, _>>()?;
        let point = self.space.own().unwrap_or_default();
        self.seen.insert(point.clone());
        self.machines.push(Machine {
            board: board.clone(),
            costs,
            front: false,
            point,
        });
        Ok(())
    }

    /// Half of the machines, drawn evenly; all, where the space is that small.
    fn sample(&mut self) -> Result<(), ExploreError> {
        let small = self.space.len() <= self.request.machines;
        let space = self.space;
        let wanted = match small {
            true => self.room(),
            false => self.room() / 2,
        };
        let mut new = Vec::new();
        // A space that hardly fits its chip must not keep the dice rolling.
        let tries = 1000 * self.request.machines.max(1);
        let mut draw: Box<dyn Iterator<Item = Point>> = match small {
            true => Box::new(space.all()),
            false => Box::new(space.draw(self.request.seed).take(tries)),
        };
        while new.len() < wanted {
            let Some(point) = draw.next() else { break };
            if self.seen.insert(point.clone()) {
                new.extend(space.board(&point).map(|b| (point, b)));
            }
        }
        self.plan(new)
    }

    /// Neighbours of the fronts, round after round.
    fn climb(&mut self) -> Result<(), ExploreError> {
        while self.room() > 0 {
            let mut new = Vec::new();
            'round: for i in fronts(&self.machines) {
                let point = self.machines[i].point.clone();
                for p in self.space.neighbours(&point) {
                    if self.seen.insert(p.clone()) {
                        new.extend(self.space.board(&p).map(|b| (p, b)));
                    }
                    if new.len() >= self.room().min(ROUND) {
                        break 'round;
                    }
                }
            }
            if new.is_empty() {
                return Ok(());
            }
            self.plan(new)?;
        }
        Ok(())
    }

    /// Simulates who is on a front by what is known, until all who are have been. Errors: the simulator's, interrupted.
    fn simulate_front(&mut self) -> Result<(), ExploreError> {
        loop {
            let members = fronts(&self.machines);
            let new: Vec<usize> = members
                .iter()
                .copied()
                .filter(|&i| !self.machines[i].is_simulated())
                .collect();
            if new.is_empty() {
                members.iter().for_each(|&i| self.machines[i].front = true);
                return Ok(());
            }
            let (count, done) = (new.len() as u64, AtomicU64::new(0));
            let progress = self.session.progress;
            progress.begin("simulating the front", Some(count), "machines");
            let simulated: Vec<Vec<u64>> = new
                .par_iter()
                .map(|&i| {
                    let board = &self.machines[i].board;
                    let networks = self.request.networks.iter();
                    let cycles = networks.map(|n| simulate(n, board, self.session));
                    let cycles = cycles.collect::<Result<_, _>>();
                    progress.at(done.fetch_add(1, Ordering::Relaxed) + 1);
                    cycles
                })
                .collect::<Result<_, _>>()?;
            progress.end();
            for (&i, cycles) in new.iter().zip(simulated) {
                for (cost, cycles) in self.machines[i].costs.iter_mut().zip(cycles) {
                    cost.simulated = Some(cycles);
                }
            }
        }
    }
}
