//! Power, where the board measures it: Linux shows each sensor's as `/sys/class/hwmon/hwmonN/powerK_input`, in microwatts.

use crate::system::System;
use serde::Serialize;
use std::cell::RefCell;
use std::time::{Duration, Instant};

const CLASS: &str = "/sys/class/hwmon";
/// A sensor behind I2C takes a millisecond to read: seldom enough to cost nothing.
const EVERY: Duration = Duration::from_millis(100);

/// One sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sensor {
    /// The chip's name, and what it calls this one.
    pub name: String,
    path: String,
}

impl Sensor {
    /// Watts now; nothing when it cannot be read.
    pub fn watts(&self, system: &System) -> Option<f64> {
        let microwatts: f64 = system.read(&self.path)?.parse().ok()?;
        Some(microwatts / 1e6)
    }
}

/// All sensors of power that can be read.
pub fn sensors(system: &System) -> Vec<Sensor> {
    let mut all = Vec::new();
    for chip in system.list(CLASS) {
        let folder = format!("{CLASS}/{chip}");
        let name = system.read(&format!("{folder}/name")).unwrap_or(chip);
        for file in system.list(&folder) {
            let Some(number) = file
                .strip_prefix("power")
                .and_then(|f| f.strip_suffix("_input"))
            else {
                continue;
            };
            let label = system.read(&format!("{folder}/power{number}_label"));
            all.push(Sensor {
                name: format!(
                    "{name} {}",
                    label.unwrap_or_else(|| format!("power{number}"))
                ),
                path: format!("{folder}/{file}"),
            });
        }
    }
    all.retain(|s| s.watts(system).is_some());
    all
}

/// What a sensor measured during a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Power {
    /// The sensor.
    pub sensor: String,
    /// Before the run.
    pub idle_watts: f64,
    /// Mean while it went on.
    pub watts: f64,
    /// Values that the mean is of.
    pub samples: usize,
    /// Mean times duration, by the number of images.
    pub joules_per_image: f64,
}

/// Watches all sensors while something runs.
pub struct Meter<'s> {
    system: &'s System,
    begin: Instant,
    inner: RefCell<Inner>,
}

struct Inner {
    /// Each sensor, its value at the beginning, the sum and the number of those since.
    sensors: Vec<(Sensor, f64, f64, usize)>,
    last: Option<Instant>,
}

impl<'s> Meter<'s> {
    /// Begins now.
    pub fn new(system: &'s System) -> Self {
        let all = sensors(system).into_iter();
        let sensors = all.filter_map(|s| Some((s.clone(), s.watts(system)?, 0.0, 0)));
        let inner = Inner {
            sensors: sensors.collect(),
            last: None,
        };
        Meter {
            system,
            begin: Instant::now(),
            inner: RefCell::new(inner),
        }
    }

    /// Looks at the sensors if the last look is some time ago: to be called often.
    pub fn look(&self) {
        let mut inner = self.inner.borrow_mut();
        if inner.sensors.is_empty() || inner.last.is_some_and(|l| l.elapsed() < EVERY) {
            return;
        }
        for (sensor, _, sum, count) in &mut inner.sensors {
            if let Some(watts) = sensor.watts(self.system) {
                *sum += watts;
                *count += 1;
            }
        }
        inner.last = Some(Instant::now());
    }

    /// What each sensor measured since the beginning, for so many images.
    pub fn end(self, images: u64) -> Vec<Power> {
        self.look();
        let seconds = self.begin.elapsed().as_secs_f64();
        let inner = self.inner.into_inner();
        let seen = inner.sensors.into_iter().filter(|s| s.3 > 0);
        seen.map(|(sensor, idle_watts, sum, samples)| {
            let watts = sum / samples as f64;
            Power {
                sensor: sensor.name,
                idle_watts,
                watts,
                samples,
                joules_per_image: watts * seconds / images.max(1) as f64,
            }
        })
        .collect()
    }
}
