//! Which keys of a board file take which values, and the shapes that the chip holds.

use crate::error::ExploreError;
use cnna_machine::{Accelerator, Board};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A key and its values, in the order in which neighbours are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The key in the board file's accelerator.
    pub key: &'static str,
    /// Rising.
    pub values: Vec<usize>,
}

/// A key that can be varied: its usual values, and where it stands.
struct Key {
    name: &'static str,
    values: &'static [usize],
    /// Varied without the user's saying so.
    usual: bool,
    place: fn(&mut Accelerator) -> &mut usize,
}

const TABLE: [Key; 10] = [
    Key {
        name: "tiles",
        values: &[1, 2, 4],
        usual: true,
        place: |a| &mut a.tiles,
    },
    Key {
        name: "lanes",
        values: &[
            1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
            25, 26, 27, 28, 29, 30, 31, 32,
        ],
        usual: true,
        place: |a| &mut a.lanes,
    },
    Key {
        name: "act_depth",
        values: &[1024, 2048, 4096, 8192, 16384],
        usual: true,
        place: |a| &mut a.act_depth,
    },
    Key {
        name: "weight_depth",
        values: &[128, 256, 512, 1024, 2048],
        usual: true,
        place: |a| &mut a.weight_depth,
    },
    Key {
        name: "out_depth",
        values: &[256, 512, 1024, 2048, 4096],
        usual: true,
        place: |a| &mut a.out_depth,
    },
    Key {
        name: "weight_ports",
        values: &[1, 2, 3, 4],
        usual: true,
        place: |a| &mut a.weight_ports,
    },
    Key {
        name: "load_ports",
        values: &[1, 2],
        usual: false,
        place: |a| &mut a.load_ports,
    },
    Key {
        name: "bias_depth",
        values: &[64, 128, 256],
        usual: false,
        place: |a| &mut a.bias_depth,
    },
    Key {
        name: "outstanding",
        values: &[2, 4, 8, 16],
        usual: false,
        place: |a| &mut a.outstanding,
    },
    Key {
        name: "queue_depth",
        values: &[4, 8, 16, 32],
        usual: false,
        place: |a| &mut a.queue_depth,
    },
];

/// Keys that can be varied.
pub const KEYS: [&str; TABLE.len()] = {
    let mut names = [""; TABLE.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = TABLE[i].name;
        i += 1;
    }
    names
};

fn known() -> String {
    KEYS.join(", ")
}

/// The axes that a user means: `KEY` for its usual values, `KEY=V/V/V` for others; nothing for the usual keys.
///
/// Errors: an unknown key, the same key twice, values that are no numbers.
pub fn axes(given: &[String]) -> Result<Vec<Axis>, ExploreError> {
    let bad = |key: &str, message: String| ExploreError::Vary {
        key: key.into(),
        message,
    };
    if given.is_empty() {
        let usual = TABLE.iter().filter(|k| k.usual);
        return Ok(usual
            .map(|k| Axis {
                key: k.name,
                values: k.values.to_vec(),
            })
            .collect());
    }
    let mut all: Vec<Axis> = Vec::new();
    for text in given {
        let (name, values) = match text.split_once('=') {
            Some((name, values)) => (name.trim(), Some(values)),
            None => (text.trim(), None),
        };
        let Some(key) = TABLE.iter().find(|k| k.name == name) else {
            return Err(bad(text, format!("no such key: use some of {}", known())));
        };
        if all.iter().any(|a| a.key == key.name) {
            return Err(bad(text, "it comes twice: name it once".into()));
        }
        let mut values = match values {
            None => key.values.to_vec(),
            Some(list) => list
                .split('/')
                .map(|v| v.trim().parse::<usize>())
                .collect::<Result<_, _>>()
                .map_err(|_| {
                    bad(
                        text,
                        format!("write whole numbers with / between them, as in {name}=4/8/16"),
                    )
                })?,
        };
        values.sort_unstable();
        values.dedup();
        all.push(Axis {
            key: key.name,
            values,
        });
    }
    Ok(all)
}

fn place<'a>(a: &'a mut Accelerator, key: &str) -> &'a mut usize {
    let key = TABLE.iter().find(|k| k.name == key);
    (key.expect("axes hold known keys").place)(a)
}

/// All shapes of a board along some axes.
pub struct Space<'a> {
    board: &'a Board,
    axes: &'a [Axis],
}

/// The value of each axis, by index.
pub type Point = Vec<usize>;

impl<'a> Space<'a> {
    /// Of that board.
    pub fn new(board: &'a Board, axes: &'a [Axis]) -> Self {
        Space { board, axes }
    }

    /// Shapes in all, those included that no chip holds.
    pub fn len(&self) -> usize {
        let sizes = self.axes.iter().map(|a| a.values.len());
        sizes.fold(1, usize::saturating_mul)
    }

    /// The board with that shape; none where its keys contradict each other or the chip has no room.
    pub fn board(&self, point: &[usize]) -> Option<Board> {
        let mut board = self.board.clone();
        for (axis, &i) in self.axes.iter().zip(point) {
            *place(&mut board.accelerator, axis.key) = axis.values[i];
        }
        // Biases need room as lanes do; where nobody varies it, it follows.
        if self.axes.iter().all(|a| a.key != "bias_depth") {
            let a = &mut board.accelerator;
            a.bias_depth = a.bias_depth.max(2 * a.group_bias_rows()).min(256);
        }
        board.validate().ok()?;
        board.check_fit().ok()?;
        let own = self.board.accelerator.clone();
        if board.accelerator != own {
            board.name = self.name(point);
        }
        Some(board)
    }

    /// Where the board itself lies; none where one of its values is on no axis.
    pub fn own(&self) -> Option<Point> {
        let mut own = self.board.accelerator.clone();
        let mut at = |axis: &Axis| {
            let value = *place(&mut own, axis.key);
            axis.values.iter().position(|v| *v == value)
        };
        let point = self.axes.iter().map(&mut at).collect::<Option<Point>>()?;
        (self.board(&point).as_ref() == Some(self.board)).then_some(point)
    }

    /// A name that tells the shape.
    fn name(&self, point: &[usize]) -> String {
        let mut name = self.board.name.clone();
        for (axis, &i) in self.axes.iter().zip(point) {
            let letters: String = axis
                .key
                .split('_')
                .filter_map(|w| w.chars().next())
                .collect();
            name += &format!("-{letters}{}", axis.values[i]);
        }
        name
    }

    /// Different points, drawn evenly.
    pub fn draw(&self, seed: u64) -> impl Iterator<Item = Point> + '_ {
        let mut rng = StdRng::seed_from_u64(seed);
        std::iter::repeat_with(move || {
            let one = |a: &Axis| rng.random_range(0..a.values.len());
            self.axes.iter().map(one).collect()
        })
    }

    /// All points, the last axis fastest.
    pub fn all(&self) -> impl Iterator<Item = Point> + '_ {
        (0..self.len()).map(|mut n| {
            let mut point = vec![0; self.axes.len()];
            for (p, a) in point.iter_mut().zip(self.axes).rev() {
                *p = n % a.values.len();
                n /= a.values.len();
            }
            point
        })
    }

    /// One step along each axis, both ways.
    pub fn neighbours(&self, point: &[usize]) -> Vec<Point> {
        let mut all = Vec::new();
        // The board as it was given may lie outside of the space: then it has no place in it.
        for (k, (axis, &at)) in self.axes.iter().zip(point).enumerate() {
            let steps = [at.checked_sub(1), Some(at + 1)];
            for to in steps.into_iter().flatten() {
                if to < axis.values.len() {
                    let mut other = point.to_vec();
                    other[k] = to;
                    all.push(other);
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_read_and_mistakes_named() {
        let read = |v: &[&str]| axes(&v.iter().map(ToString::to_string).collect::<Vec<_>>());
        let two = read(&["lanes=8/4", "tiles"]).unwrap();
        assert_eq!(two[0].values, [4, 8]);
        assert_eq!(two[1].values, [1, 2, 4]);
        for (given, message) in [
            (vec!["lames"], "no such key: use some of tiles, lanes"),
            (vec!["lanes=x"], "whole numbers"),
            (vec!["lanes", "lanes=3"], "twice"),
        ] {
            let e = read(&given).unwrap_err().to_string();
            assert!(e.contains(message), "{e}");
        }
        assert_eq!(axes(&[]).unwrap().len(), 6);
    }

    #[test]
    fn shapes_have_names_and_those_beyond_the_chip_are_none() {
        let board = Board::load("ultra96", &[]).unwrap();
        let axes = axes(&["tiles=2/4".into(), "lanes=11/12".into()]).unwrap();
        let space = Space::new(&board, &axes);
        assert_eq!(space.all().count(), 4);
        // The board's own machine keeps its name.
        assert_eq!(space.board(&[0, 0]).unwrap(), board);
        assert_eq!(space.own().unwrap(), [0, 0]);
        let axes = super::axes(&["lanes=4/8".into()]).unwrap();
        assert_eq!(Space::new(&board, &axes).own(), None);
        // 2 x 12 lanes need 384 of 360 DSPs.
        assert!(space.board(&[0, 1]).is_none());
        assert_eq!(space.neighbours(&[0, 0]), [vec![1, 0], vec![0, 1]]);
    }

    #[test]
    fn every_key_is_one_that_board_files_have() {
        for key in KEYS {
            let board = Board::load("ultra96", &[]).unwrap();
            let mut a = board.accelerator.clone();
            let value = *place(&mut a, key);
            let set = [(key.to_string(), value.to_string())];
            assert_eq!(Board::load("ultra96", &set).unwrap(), board, "{key}");
        }
    }
}
