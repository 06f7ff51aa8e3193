r"""The losses of the Fixed-Point GAN, one pure function each.

====================  =====================================================================  ======================
function              formula                                                                source
====================  =====================================================================  ======================
adversarial           Σ_c (E[D_src(x)] − E[D_src(G(x,c))]),  c ∈ {c_x, c_y}                  patent claim 1, see *
adversarial_fake      − Σ_c E[D_src(G(x,c))]                                                 the same, for G
gradient_penalty      E[(‖∇D_src(x̂)‖₂ − 1)²]                                                 patent claim 1
mismatch              E[D_src(x, c_x)] − E[D_src(x, c_y)]                                     see **, trains D
domain_real           E[−log D_dom(c_x | x)]                                                 patent, trains D
domain_origin         E[−log D_dom(c_x | y′)]                                                see ***, trains D
domain_fake           Σ_c E[−log D_dom(c | G(x,c))],  c ∈ {c_x, c_y}                         patent, trains G
cycle                 E‖G(G(x,c_y),c_x) − x‖₁ + E‖G(G(x,c_x),c_x) − x‖₁                      patent
conditional_identity  E‖G(x,c_x) − x‖₁                                                       patent
second_fixed_point    E‖G(x′,c_x) − x′‖₁,  x′ = G(x,c_x)                                     patent process 160
====================  =====================================================================  ======================

"The patent" is US 11,164,021 B2; the paper is Rahman Siddiquee et al., "Learning Fixed Points in Generative
Adversarial Networks", ICCV 2019. x is a real image in [-1, 1] of domain c_x, c_y another domain, x′ = G(x, c_x) the
same-domain and y′ = G(x, c_y) the cross-domain translation. ‖·‖₁ is the mean over pixels and channels, E the mean over
images.

\* Written with a single E[D_src(x)] against the two fakes, the patent's term is lowered without end by any constant
added to all scores, and the gradient penalty does not see constants: critic scores ran away within 75 updates. With
the real image counted once for each fake it stands against, the term measures differences alone.

\*\* Of a critic that scores images as ones of a domain: real images under another domain's label are no real images of
it. Without this, a critic may score an untouched lesion as a real healthy image, because no fake has shown it one. The
idea is that of matching-aware discriminators, Reed et al., "Generative Adversarial Text to Image Synthesis", ICML 2016.

\*\*\* A domain classifier that never sees a translation can be pleased by changes that no real image shows. Here it
learns to tell where a translation came from, against the generator, as it learns to tell real from fake.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def adversarial(d_src_x: Tensor, d_src_same: Tensor, d_src_cross: Tensor) -> Tensor:
    """2 E[D_src(x)] − E[D_src(x′)] − E[D_src(y′)]: the critic ascends it.

    Arguments are patch scores of any shape. The gradient penalty is a function of its own.
    """
    return 2 * _mean(d_src_x) - _mean(d_src_same) - _mean(d_src_cross)


def adversarial_fake(d_src_same: Tensor, d_src_cross: Tensor) -> Tensor:
    """− E[D_src(x′)] − E[D_src(y′)]: the generator's part of the adversarial term, which it descends."""
    return -_mean(d_src_same) - _mean(d_src_cross)


def mismatch(d_src_x: Tensor, d_src_x_as_other: Tensor) -> Tensor:
    """E[D_src(x, c_x)] − E[D_src(x, c_y)]: the critic ascends it. Arguments are patch scores of any shape."""
    return _mean(d_src_x) - _mean(d_src_x_as_other)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], x: Tensor, x_same: Tensor, x_cross: Tensor, share: Tensor, pick_same: Tensor
) -> Tensor:
    """E[(‖∇D_src(x̂)‖₂ − 1)²] with x̂ on the line between a real image and one of its two fakes.

    With uniform shares and fair picks this is an unbiased estimate of the mean over both fakes, at half the cost of
    taking both.

    Args:
        critic: maps images (B, C, H, W) to patch scores; their mean over patches is the score that is differentiated.
        x: real images (B, C, H, W).
        x_same: their same-domain fakes.
        x_cross: their cross-domain fakes.
        share: (B,) in [0, 1]: x̂ is this far from the real image towards the fake.
        pick_same: (B,) bool: which of the two fakes.
    """
    shape = (len(x), *[1] * (x.ndim - 1))
    fake = torch.where(pick_same.view(shape), x_same, x_cross)
    between = torch.lerp(x, fake, share.view(shape)).detach().requires_grad_(True)
    scores = critic(between).flatten(1).mean(1)
    (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def domain_real(logits_x: Tensor, c_x: Tensor, *, exclusive: bool) -> Tensor:
    """E[−log D_dom(c_x | x)] from logits (B, K) and labels (B, K)."""
    return _negative_log_likelihood(logits_x, c_x, exclusive)


def domain_origin(logits_cross: Tensor, c_x: Tensor, *, exclusive: bool) -> Tensor:
    """E[−log D_dom(c_x | y′)]: the critic recognizes what a cross-domain translation was made of."""
    return _negative_log_likelihood(logits_cross, c_x, exclusive)


def domain_fake(logits_same: Tensor, c_x: Tensor, logits_cross: Tensor, c_y: Tensor, *, exclusive: bool) -> Tensor:
    """E[−log D_dom(c_x | x′)] + E[−log D_dom(c_y | y′)]."""
    same = _negative_log_likelihood(logits_same, c_x, exclusive)
    return same + _negative_log_likelihood(logits_cross, c_y, exclusive)


def cycle(x: Tensor, back_from_cross: Tensor, back_from_same: Tensor) -> Tensor:
    """E‖G(y′,c_x) − x‖₁ + E‖G(x′,c_x) − x‖₁."""
    return functional.l1_loss(back_from_cross, x) + functional.l1_loss(back_from_same, x)


def conditional_identity(x: Tensor, x_same: Tensor) -> Tensor:
    """E‖G(x,c_x) − x‖₁: translated to its own domain, an image stays as it is."""
    return functional.l1_loss(x_same, x)


def second_fixed_point(x_same: Tensor, x_same_again: Tensor) -> Tensor:
    """E‖G(x′,c_x) − x′‖₁: what was translated to its own domain stays as it is, too."""
    return functional.l1_loss(x_same_again, x_same)


def _negative_log_likelihood(logits: Tensor, label: Tensor, exclusive: bool) -> Tensor:
    """Cross-entropy for exclusive domains; for attributes, binary cross-entropy summed over them."""
    logits = _at_least_float32(logits)
    if exclusive:
        return functional.cross_entropy(logits, label.argmax(1))
    return functional.binary_cross_entropy_with_logits(logits, label.to(logits), reduction="sum") / len(label)


def _mean(scores: Tensor) -> Tensor:
    return _at_least_float32(scores).mean()


def _at_least_float32(tensor: Tensor) -> Tensor:
    """Sums over many bfloat16 values need more digits than these have."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
