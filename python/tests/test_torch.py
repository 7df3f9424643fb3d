"""Training in PyTorch: the exported integers are those that the prepared network computes with, bit for bit."""

import subprocess
import sys

import numpy as np
import pytest

import cnna

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import cnna.torch  # noqa: E402


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3, padding=1), nn.ReLU6(), nn.MaxPool2d(2), nn.Dropout(),
            nn.Flatten(), nn.Linear(12 * 4 * 4, 24), nn.ReLU(), nn.Linear(24, 10),
        )

    def forward(self, x):
        return self.body(x)


class Residual(nn.Module):
    """Strides, groups, sums, concatenation, both average poolings, an activation by itself."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 5, stride=2, padding=2)
        self.norm = nn.BatchNorm2d(8)
        self.deep = nn.Conv2d(8, 8, 3, padding="same", groups=8, bias=False)
        self.deep_norm = nn.BatchNorm2d(8)
        self.point = nn.Conv2d(8, 8, 1)
        self.side = nn.Conv2d(8, 4, 3, padding=2, dilation=2)
        self.pool = nn.AvgPool2d(2)
        self.last = nn.Conv2d(12, 10, 1)
        self.end = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        x = torch.relu(self.norm(self.stem(x)))
        y = self.deep_norm(self.deep(x))
        x = torch.relu(self.point(y) + x)
        y = nn.functional.max_pool2d(nn.functional.relu6(self.side(x)), 3, 1, 1)
        x = torch.cat([self.pool(x), self.pool(y)], 1)
        return self.end(self.last(x)).flatten(1)


def randomised(model, seed):
    torch.manual_seed(seed)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.3)
            m.running_var.uniform_(0.3, 2)
            nn.init.uniform_(m.weight, -1, 1.5)
            nn.init.normal_(m.bias, 0, 0.3)
    return model


@pytest.mark.parametrize("word", [16, 8])
@pytest.mark.parametrize("make", [Plain, Residual])
@pytest.mark.parametrize("seed", range(3))
def test_exported_integers_are_the_fake_quantised_networks(make, word, seed, tmp_path):
    torch.manual_seed(seed)
    model = randomised(make(), seed)
    q = cnna.torch.prepare(model, word=word)
    x = torch.randn(16, 1, 16, 16)
    cnna.torch.calibrate(q, [x])
    # A few steps move weights, biases and ranges away from what calibration gave them.
    q.train()
    optimiser = torch.optim.SGD(q.parameters(), lr=0.02)
    labels = torch.randint(0, 10, (16,))
    for _ in range(4):
        optimiser.zero_grad()
        nn.functional.cross_entropy(q(x), labels).backward()
        nn.utils.clip_grad_norm_(q.parameters(), 1.0)
        optimiser.step()
    q.eval()
    # Beyond the ranges too: saturation is part of the arithmetic.
    x = torch.cat([x, 4 * torch.randn(8, 1, 16, 16)])
    with torch.no_grad():
        want = q(x).numpy()
    path = tmp_path / "q.onnx"
    cnna.torch.export(q, path)
    program = cnna.compile(path, "ultra96", word=word)
    for device in ("reference", "cycle"):
        run = program.run(x.numpy(), device, details=True)
        assert run.saturated > 0
        got = run.outputs[list(run.outputs)[0]]
        assert got.shape == want.shape and np.array_equal(got.astype(np.float64), want), (np.abs(got - want).max())


def test_preparation_changes_little_at_sixteen_bits(tmp_path):
    model = randomised(Residual(), 5).eval()
    q = cnna.torch.prepare(model)
    x = torch.randn(32, 1, 16, 16)
    cnna.torch.calibrate(q, [(x, None)])
    q.eval()
    with torch.no_grad():
        a, b = model(x).double(), q(x)
    noise = ((a - b) ** 2).sum() / (a**2).sum()
    assert 10 * np.log10(float(noise)) < -50


def test_gradients_reach_weights_biases_and_ranges():
    q = cnna.torch.prepare(Residual())
    q.train()
    q(torch.randn(4, 1, 16, 16)).sum().backward()
    used = [n for n, p in q.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert used == []
    assert any(float(r.log2_t.grad) != 0 for r in q.ranges())


def test_a_range_learns_to_clip_outliers_at_eight_bits():
    from cnna.torch.ranges import Range

    r = Range(8)
    x = torch.cat([torch.randn(4000), torch.tensor([60.0])])
    r.observe(x)
    before = r.frac()
    optimiser = torch.optim.Adam(r.parameters(), lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        # Many small values matter more than the one large.
        ((r(x) - x) ** 2)[:-1].mean().backward()
        optimiser.step()
    assert r.frac() > before


def test_training_lowers_the_loss():
    torch.manual_seed(1)
    q = cnna.torch.prepare(Plain(), word=8)
    x, labels = torch.randn(64, 1, 16, 16), torch.arange(64) % 10
    q.train()
    optimiser = torch.optim.Adam(q.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(q(x), labels)
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < 0.8 * losses[0], losses[::8]


def test_what_cannot_be_prepared_is_named_all_at_once(tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.GELU()
            self.norm = nn.GroupNorm(1, 1)

        def forward(self, x):
            return self.act(self.norm(x))

    with pytest.raises(ValueError) as e:
        cnna.torch.prepare(Odd())
    assert "GELU" in str(e.value) and "GroupNorm" in str(e.value)
    with pytest.raises(ValueError, match="8 or 16"):
        cnna.torch.prepare(Plain(), word=12)
    q = cnna.torch.prepare(Plain()).eval()
    with pytest.raises(RuntimeError, match="calibrate"):
        q(torch.zeros(1, 1, 16, 16))
    with pytest.raises(RuntimeError, match="has not been called"):
        cnna.torch.export(cnna.torch.prepare(Plain()), tmp_path / "x.onnx")


def test_the_package_imports_without_torch():
    code = "import sys; sys.modules['torch'] = None\nimport cnna; cnna.boards()\ntry:\n import cnna.torch\nexcept ImportError as e: print(e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "needs PyTorch" in done.stdout, done.stderr
