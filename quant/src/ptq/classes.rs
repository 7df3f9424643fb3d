//! Whether a classifier answers the same with weights of eight bits as with its weights of sixteen: the class of every
//! calibration image, by integers against integers. Decibels do not say it: where the classes of an image are near one another
//! little noise changes which is best.

use super::PtqError;
use super::table::{self, Measured};
use crate::accuracy::first_largest;
use cnna_net::{Graph, TensorId, run};
use serde::Serialize;

/// The least share of images that keep their class, in percent: [`super::Narrow::Auto`] takes no fewer.
pub const LEAST_AGREEMENT: usize = 99;

/// Fewer images than these must agree all, for one that does not would be more than a percent.
const ENOUGH_IMAGES: usize = 100 / (100 - LEAST_AGREEMENT);

/// Classes with weights of eight bits against those with sixteen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Calibration images with the same best class.
    pub same: usize,
    /// Calibration images.
    pub images: usize,
    /// Those that had the same best class with the layers that decibels alone chose.
    pub same_by_db: usize,
    /// What was taken back to sixteen bits for the classes' sake, the first taken first: the tensors that the layers write.
    pub taken_back: Vec<String>,
}

impl Agreement {
    /// True where enough images keep their class.
    pub fn holds(&self) -> bool {
        enough(self.same, self.images)
    }

    /// For the screen.
    pub fn text(&self) -> String {
        let share = |n: usize| 100.0 * n as f64 / self.images.max(1) as f64;
        let mut text = format!(
            "best class with 8-bit weights that of 16-bit ones on {} of {} calibration image(s), {:.1} %",
            self.same,
            self.images,
            share(self.same)
        );
        if !self.taken_back.is_empty() {
            text += &format!(
                "; by decibels alone on {}, {:.1} %: back to 16 bits {}",
                self.same_by_db,
                share(self.same_by_db),
                self.taken_back.join(", ")
            );
        }
        text
    }

    /// What a user must know; none where all is well.
    pub fn warning(&self) -> Option<String> {
        let (least, images) = (LEAST_AGREEMENT, self.images);
        if !self.holds() {
            return Some(format!(
                "with 8-bit weights {} of {images} calibration images have another best class than with 16-bit ones, more than {} %: \
                 `--narrow-weights auto` takes only layers that leave {least} %",
                images - self.same,
                100 - least
            ));
        }
        // Where none of n differs, fewer than 3/n do, by odds of 19 to 1.
        let shown = (100.0 - 300.0 / images.max(1) as f64).max(0.0);
        (images < ENOUGH_IMAGES).then(|| {
            format!(
                "{images} calibration image(s) are too few to tell {least} % of the best classes from all: all must agree, and that they \
                 do shows no more than {shown:.0} % of those to come (at odds of 19 to 1; {} that all agree show {least} %): give more \
                 (`--calib`, `--calib-images`)",
                3 * ENOUGH_IMAGES
            )
        })
    }
}

/// True for at least [`LEAST_AGREEMENT`] percent.
fn enough(same: usize, images: usize) -> bool {
    100 * same >= LEAST_AGREEMENT * images
}

/// The output of a network whose answer is a class: its only one, with one side alone of more than one element.
pub(super) fn output(graph: &Graph) -> Option<TensorId> {
    let [port] = &graph.outputs[..] else {
        return None;
    };
    let sides = graph.tensors[port.tensor].shape.sides();
    (sides.iter().filter(|&&s| s > 1).count() == 1).then_some(port.tensor)
}

/// The classes that integers give images.
pub(super) struct Classes<'m> {
    images: &'m Measured<'m>,
    output: TensorId,
    best: Vec<usize>,
    /// Images, those first that have changed their class before.
    order: Vec<usize>,
}

impl<'m> Classes<'m> {
    /// Of a graph with this output. Errors: as the reference run.
    pub fn new(
        graph: &Graph,
        output: TensorId,
        images: &'m Measured<'m>,
    ) -> Result<Self, PtqError> {
        let each = 0..images.len();
        Ok(Classes {
            best: each
                .clone()
                .map(|k| best(graph, output, &images.image(k)?))
                .collect::<Result<_, _>>()?,
            order: each.collect(),
            images,
            output,
        })
    }

    /// How many images.
    pub fn len(&self) -> usize {
        self.best.len()
    }

    /// How many images have the same class by another graph's integers. Errors: as the reference run.
    pub fn same(&mut self, graph: &Graph) -> Result<usize, PtqError> {
        Ok(self.len() - self.others(graph, |_| false)?)
    }

    /// The same; none as soon as it is clear that it is not enough: those tell it first that told it before.
    pub fn enough(&mut self, graph: &Graph) -> Result<Option<usize>, PtqError> {
        let all = self.len();
        let others = self.others(graph, |others| !enough(all - others, all))?;
        Ok(enough(all - others, all).then_some(all - others))
    }

    /// How many images have another class, until that is too many.
    fn others(
        &mut self,
        graph: &Graph,
        too_many: impl Fn(usize) -> bool,
    ) -> Result<usize, PtqError> {
        let mut others = Vec::new();
        for &k in &self.order {
            if best(graph, self.output, &self.images.image(k)?)? != self.best[k] {
                others.push(k);
            }
            if too_many(others.len()) {
                break;
            }
        }
        let mut first = vec![false; self.len()];
        others.iter().for_each(|&k| first[k] = true);
        // A stable sort: those of before stay near the front.
        self.order.sort_by_key(|&k| !first[k]);
        Ok(others.len())
    }
}

/// The best class of an image; of equal ones the first.
fn best(graph: &Graph, output: TensorId, inputs: &[Vec<f32>]) -> Result<usize, PtqError> {
    let words = table::words(graph, inputs);
    let words: Vec<&[i16]> = words.iter().map(|w| &w[..]).collect();
    let done = run::run(graph, &words)?;
    Ok(first_largest(&done.tensors[output].values))
}
