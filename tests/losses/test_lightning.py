"""DUO in PyTorch Lightning: its loop calls ours, and its checkpoints hold all there is."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from aleaseg.losses import DUOLoss, LabelDenoising

from .test_training import IDS, cases, small_network


class Cases(Dataset):
    """Four cases with their ids."""

    def __init__(self):
        self.images, self.labels = cases()

    def __len__(self):
        return len(IDS)

    def __getitem__(self, at):
        return IDS[at], self.images[at], self.labels[at]


@pytest.fixture
def lightning():
    """Its import takes seconds, and everybody who collects tests would pay for it."""
    return pytest.importorskip("pytorch_lightning", reason="pytorch-lightning is not installed")


@pytest.fixture
def segmenter(lightning):
    """A class of modules."""

    class Segmenter(lightning.LightningModule):
        """Network, loss and denoising, each a submodule."""

        def __init__(self):
            super().__init__()
            self.network = small_network()
            self.denoising = LabelDenoising(self.network, IDS, 2, warm_up=1, penalty=0.1)
            self.duo = DUOLoss()
            self.losses = []

        def training_step(self, batch, _):
            ids, images, labels = batch
            logits = self.network(images)
            loss = self.duo(logits, labels, self.denoising.noise(ids, logits)) + self.denoising.penalty()
            self.losses.append(loss.item())
            return loss

        def on_train_epoch_end(self):
            self.denoising.end_epoch()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

    return Segmenter


@pytest.fixture
def trainer_of(lightning):
    """trainer_of(epochs, folder): a trainer on the CPU that keeps quiet."""

    def _trainer_of(epochs, folder):
        return lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
        )  # fmt: skip

    return _trainer_of


def loader():
    return DataLoader(Cases(), batch_size=2)


def test_lightning_trains_and_goes_on_to_the_same_numbers(tmp_path, segmenter, trainer_of):
    whole = segmenter()
    before = whole.denoising.state.epsilon.detach().clone()
    trainer_of(4, tmp_path).fit(whole, loader())
    assert len(whole.losses) == 8
    assert whole.losses[-1] < whole.losses[0]
    epsilon = whole.denoising.state.epsilon
    assert whole.denoising.epoch == 4
    assert torch.allclose(epsilon.mean(0), torch.zeros(2), atol=1e-5)
    assert torch.allclose(epsilon.square().mean(0), torch.ones(2), atol=1e-5)
    assert not torch.allclose(epsilon, before, atol=1e-3)

    half = segmenter()
    trainer = trainer_of(2, tmp_path)
    trainer.fit(half, loader())
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    kept = torch.load(tmp_path / "half.ckpt", weights_only=True)["state_dict"]
    assert {"denoising.state.epsilon", "denoising.state._extra_state", "denoising.head.weight"} <= set(kept)

    resumed = segmenter()
    trainer_of(4, tmp_path).fit(resumed, loader(), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert resumed.losses == whole.losses[4:]
    for name, tensor in whole.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            assert torch.equal(tensor, resumed.state_dict()[name]), name
