"""The scikit-learn estimator."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from .datasets.demo import bundled_model
from .engine.manifest import MANIFEST
from .engine.onnx import LanguageModel
from .errors import DecisionError, ItemError, LikraError, RatioWarning, import_extra
from .heads.fit_best import fit_best_heads
from .heads.fit_graph import fit_lora_heads
from .heads.fit_none import score_without_heads
from .heads.fit_output import fit_output_heads
from .heads.negatives import NEGATIVES
from .heads.output import DEFAULT_PENALTY
from .heads.recipe import LoraRecipe
from .heads.settings import ADAPTERS, FitSettings
from .heads.training_set import FittedHeads, HeldOutItems
from .notebook import summary_html
from .progress import progress_bar
from .prompts import Prompt
from .questions.examples import draw_examples
from .questions.inputs import answer_indices, as_items
from .questions.item import content_hashes, warn_of_duplicates, warn_of_overlap
from .scoring.conformal import (
    abstention_threshold,
    predict_or_abstain,
    prediction_sets,
    set_threshold,
)
from .scoring.decision import AnyDecision, LinearDecision
from .scoring.explain import Explanation, explain_item
from .scoring.jobs import score_table
from .scoring.lengths import NORMALIZATIONS
from .scoring.modes import FREE_HEADS, HEADS, MODES
from .scoring.scorer import ChoiceScorer
from .scoring.selection import DecisionRule, worse_than_base
from .scoring.table import LogLikelihoods
from .validation import (
    as_path,
    check_flag,
    check_integer,
    check_number_or_auto,
    check_one_of,
    check_share,
    shown,
)

__all__ = ["LikraClassifier"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


CONFIG = "config.json"  # in a checkpoint

# What fits heads of each kind on a model folder.
HEADS_ON_A_FOLDER = {
    "auto": fit_best_heads,
    "output": fit_output_heads,
    "lora": fit_lora_heads,
    "none": score_without_heads,
}


class LikraClassifier(ClassifierMixin, BaseEstimator):
    """Multiple-choice classifier that scores answers by a likelihood ratio.

    A choice a of a question q scores ``log p+(a | q) - alpha * log p-(a | q)``, where the
    positive head p+ was fitted on right answers and the negative head p- on wrong ones
    [1]_. Both heads are small matrices on top of one frozen language model.

    Parameters
    ----------
    model : path, LanguageModel or None, default=None
        A model folder, written by ``likra-lite export`` or
        :func:`likra_lite.export.export_model`; the bundled tiny model if None, which
        knows the stories of :func:`likra_lite.datasets.load_demo` and little else.
    mode : {"auto", "base", "pmi", "sft", "likra", "base-likra", "pos-base"}, default="auto"
        What is scored, with L the log-likelihood of a choice in nats:

        - ``base``: L under the language model as it is;
        - ``pmi``: L_base minus L_base after the neutral context: the prompt, with nothing asked;
        - ``sft``: L+;
        - ``likra``: L+ - alpha L-;
        - ``base-likra``: L_base - alpha L-, which needs wrong answers only;
        - ``pos-base``: L+ - L_base;
        - ``auto``: a weighted sum of every L, raw and per character, and of the choice's length,
          with weights fitted on held-out answers: all of the above, with any alpha, are special
          cases, see :func:`likra_lite.scoring.weighing.fit_decision`.
    alpha : float or "auto", default="auto"
        Weight of the negative head in the modes that have one by name. ``auto`` chooses it on
        held-out answers. With ``mode="auto"`` it has a weight of its own.
    normalization : {"none", "chars", "bytes", "tokens", "auto"}, default="none"
        Length that the scores of a mode are divided by: Python characters, bytes of UTF-8, or
        tokens; ``auto`` chooses it on held-out answers. With ``mode="auto"`` lengths have weights
        of their own.
    negatives : {"own", "all", "hardest", "easiest", "other"}, default="own"
        Which wrong answers the negative head learns: wrong choices of the same question
        drawn at random, all of them, those that the base model finds most or least
        likely, or right answers of other questions.
    n_negatives : int, default=1
        Wrong answers per item, as far as it has them.
    contamination : float, default=0.0
        Share of wrong answers replaced by right ones, for experiments.
    penalty : float or "auto", default=100_000.0
        Strength of the L2 penalty on the heads, as a number of answer tokens, see
        :func:`likra_lite.heads.output.fit_output_matrix`. ``auto`` tries a tenth and ten times
        the default too.
    adapter : {"auto", "lora", "output", "none"}, default="auto"
        What a head is. ``lora``: low-rank changes inside the language model, which real models
        need; a minute for some hundred questions and a model of 135 million parameters. They are
        trained on the CPU if `model` is a model folder, and with PyTorch (extra ``train``), on a
        GPU if there is one, if it is a Hugging Face checkpoint. ``output``: a small matrix behind
        the model, which suits small vocabularies such as the bundled model's. ``none``: no head
        is fitted, only the decision, in seconds, and with as few as 16 items. ``auto``: every
        kind that is worth its cost is tried, and held-out items tell which stays; LoRA alone with
        a `recipe`, or a local checkpoint.
    recipe : LoraRecipe or None, default=None
        How LoRA heads are trained; as in [1]_ if None, but for the learning rate.
    train_dir : path or None, default=None
        Where LoRA training keeps the exported model, its states and checkpoints; an interrupted
        fit goes on from there. A temporary folder if None.
    prompt : str, Prompt or None, default=None
        ``"question"``, ``"completion"``, ``"letters"``, ``"chat"`` for the model's own chat
        template, or a template with ``{question}``, and ``{context}`` if wanted, that ends right
        before the answer; see :func:`likra_lite.prompts.as_prompt`. The model's own default if
        None.
    answer_delimiter : str or None, default=None
        What stands between the prompt and an answer. If None, a space, or nothing in a chat
        template.
    n_examples : int or "auto", default="auto"
        Items, drawn at random, that stand with their answers before every question (*few-shot*)
        and are fitted to no further. ``auto``: five if ``adapter="auto"`` gets fewer than 40
        items, which are too few for heads, and the others are answered better behind them; none
        if not.
    cv : int or None, default=None
        Folds in which held-out log-likelihoods are computed; five if None, or two for
        more than 1000 items. LoRA heads are trained once on all folds but one if None.
    n_choices : int or None, default=None
        Number of classes, at least the largest number of choices of an item; what was
        seen in ``fit`` if None.
    random_state : int, default=0
        Seed of the negatives, the folds and the examples.
    n_threads : int or None, default=None
        Threads of the forward pass and the fit; the physical cores available if None.
    n_jobs : int or None, default=None
        Processes that score new items, see :func:`likra_lite.scoring.jobs.stream_chunks`: one if
        None, unless ``joblib.parallel_config`` says otherwise, and all cores if -1. Scores are
        the same to the last bit.
    cache : bool, default=True
        Keep log-likelihoods, and the training items' hidden states, on disk, so that nothing is
        computed twice; see :func:`likra_lite.engine.cache.default_cache`.
    verbose : bool, default=False
        Show the progress, on stderr, of what takes more than two seconds.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        ``0, 1, ..., n_classes - 1``.
    scorer_ : ChoiceScorer
        The language model with its prompt and fitted heads.
    negatives_ : Negatives
        Which wrong answer was drawn for which item.
    adapter_ : str
        Kind of the heads: ``"lora"``, ``"output"`` or ``"none"``.
    trials_ : tuple of Trial
        The held-out results of every kind of heads that ``adapter="auto"`` tried, see
        :class:`likra_lite.heads.trials.Trial`.
    penalty_ : float or None
        The penalty used; None without output matrices.
    held_out_ : LogLikelihoods
        Held-out log-likelihoods of the training items, or of the validation items.
    held_out_y_ : ndarray of shape (n_held_out,)
        Their right choices.
    n_items_ : int
        Number of items the heads were fitted on.
    n_examples_ : int
        Number of items that stand with their answers before every question.
    training_hashes_ : ndarray of shape (n_items,)
        Hashes of all items given to ``fit``, to tell them when the classifier is evaluated, see
        :func:`likra_lite.questions.item.content_hashes`.
    decision_ : FittedDecision or Decision
        The weights in force, or the mode, alpha, normalization and temperature. It follows
        `mode`, `alpha` and `normalization` when they are changed after ``fit``: no forward pass
        is needed.
    held_out_decision_ : AnyDecision
        What would be in force without each tenth of ``held_out_``, to decide that tenth: for an
        honest estimate on this table, and for this table only.

    References
    ----------
    .. [1] S. Hamdan and D. Yuret, "How much do LLMs learn from negative examples?",
       arXiv 2503.14391, 2025.

    Examples
    --------
    >>> from likra_lite import LikraClassifier
    >>> from likra_lite.datasets import load_demo
    >>> classifier = LikraClassifier().fit(*load_demo())  # doctest: +SKIP
    >>> classifier.score(*load_demo("test"))  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | LanguageModel | None = None,
        *,
        mode: str = "auto",
        alpha: float | str = "auto",
        normalization: str = "none",
        negatives: str = "own",
        n_negatives: int = 1,
        contamination: float = 0.0,
        penalty: float | str = DEFAULT_PENALTY,
        adapter: str = "auto",
        recipe: LoraRecipe | None = None,
        train_dir: str | os.PathLike[str] | None = None,
        prompt: str | Prompt | None = None,
        answer_delimiter: str | None = None,
        n_examples: int | str = "auto",
        cv: int | None = None,
        n_choices: int | None = None,
        random_state: int = 0,
        n_threads: int | None = None,
        n_jobs: int | None = None,
        cache: bool = True,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.mode = mode
        self.alpha = alpha
        self.normalization = normalization
        self.negatives = negatives
        self.n_negatives = n_negatives
        self.contamination = contamination
        self.penalty = penalty
        self.adapter = adapter
        self.recipe = recipe
        self.train_dir = train_dir
        self.prompt = prompt
        self.answer_delimiter = answer_delimiter
        self.n_examples = n_examples
        self.cv = cv
        self.n_choices = n_choices
        self.random_state = random_state
        self.n_threads = n_threads
        self.n_jobs = n_jobs
        self.cache = cache
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False  # items may carry their answers
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.dict = True
        return tags

    # scikit-learn's diagram goes by either of the next two, depending on its version.

    def _repr_html_inner(self) -> str:
        return summary_html(self) + super()._repr_html_inner()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle = super()._repr_mimebundle_(**kwargs)
        if "text/html" in bundle:
            bundle["text/html"] = self._repr_html_inner()
        return bundle

    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        *,
        X_validation: Any = None,
        y_validation: ArrayLike | None = None,
    ) -> LikraClassifier:
        """Fit the heads.

        Parameters
        ----------
        X : list or 1-D object array of Item, dict or (question, choices), or DataFrame
        y : array-like of shape (n_items,), optional
            Index from 0, letter or text of each right choice; the items' own answers by default.
        X_validation, y_validation : optional
            Held-out items, for choosing and for the temperature. By default the training
            items are cross-fitted: heads fitted without an item score it.

        Returns
        -------
        LikraClassifier
            Itself.

        Raises
        ------
        ItemError
            If an item is malformed or has no answer.
        LikraError
            If a parameter is out of range.
        ModelFolderError
            If the model folder cannot be used.

        Warns
        -----
        RatioWarning
            If the fitted mode does worse than the base model on held-out items, by more
            than the standard error of the difference.
        OverlapWarning
            If validation items are training items too.
        DuplicateChoicesWarning
            If items list a choice twice.
        TruncationWarning
            If contexts were cut to fit the model.
        """
        self._check_parameters()
        if y is None and isinstance(X, np.ndarray) and X.dtype != object:
            raise ItemError(
                "LikraClassifier requires y to be passed, but the target y is None, and only items "
                f"carry their own answers: got an array of {X.dtype}"
            )
        items = as_items(X)
        warn_of_duplicates((f"item {index}", item) for index, item in enumerate(items))
        answers = answer_indices(items, y)
        if len(items) < 2:
            raise ItemError("fit needs at least two items, to hold one out; got 1")
        held_out = None
        if X_validation is not None:
            validation = as_items(X_validation)
            held_out = HeldOutItems(validation, answer_indices(validation, y_validation))
            warn_of_overlap(content_hashes(items), validation)
        seen = max(
            len(item.choices)
            for item in [*items, *(held_out.items if held_out is not None else [])]
        )
        if self.n_choices is not None and seen > self.n_choices:
            raise LikraError(f"got n_choices={self.n_choices} but an item has {seen} choices")
        count = 0 if isinstance(self.n_examples, str) else self.n_examples
        examples, others = draw_examples(items, answers, count, self.random_state)
        used, right = [items[index] for index in others.tolist()], answers[others]
        settings = replace(self._settings(), examples=examples)
        if self._trains_lora_only() and self._is_checkpoint():
            lora: Any = import_extra("likra_lite.lora_training.fit_lora", "train")
            fitted = lora.fit_lora(self.model, used, right, held_out, settings)
        else:
            scorer = ChoiceScorer.of(
                self._open_model(), self.prompt, self.cache, self.answer_delimiter, examples
            )
            fit_heads = HEADS_ON_A_FOLDER["lora" if self._trains_lora_only() else self.adapter]
            fitted = fit_heads(scorer, used, right, held_out, settings)
        fitted = replace(
            fitted,
            negatives=fitted.negatives.among(others),
            training=content_hashes(items),
            n_examples=len(examples) or fitted.n_examples,
        )
        # Only now, so that a failed fit leaves the last one.
        self.adopt(fitted, self.n_choices or seen)
        self.warn_if_worse(stacklevel=3)
        return self

    def _is_checkpoint(self) -> bool:
        """Return whether the model is a Hugging Face checkpoint, not a model folder."""
        model = self.model
        return isinstance(model, str | os.PathLike) and not (Path(model) / MANIFEST).is_file()

    def _trains_lora_only(self) -> bool:
        if self.adapter != "auto":
            return self.adapter == "lora"
        local = self._is_checkpoint() and (Path(str(self.model)) / CONFIG).is_file()
        return local or self.recipe is not None

    def warn_if_worse(self, stacklevel: int = 2) -> None:
        """Warn if the decision in force does worse than the base model on held-out items.

        Warns
        -----
        RatioWarning
        """
        unseen, reference = self.held_out_decision_, self.decision_.reference
        problem = worse_than_base(self.mode, unseen, reference, self.held_out_, self.held_out_y_)
        if problem is not None:
            warnings.warn(problem, RatioWarning, stacklevel=stacklevel)

    def _open_model(self) -> LanguageModel:
        model = self.model
        if isinstance(model, LanguageModel):
            return model
        if model is not None and not isinstance(model, str | os.PathLike):
            raise LikraError(
                f"got a model of type {type(model).__name__}; expected a model folder, made "
                "with: likra-lite export MODEL --out DIR"
            )
        return LanguageModel(bundled_model() if model is None else model, self.n_threads)

    def adopt(self, fitted: FittedHeads, n_classes: int) -> LikraClassifier:
        """Take heads that were fitted elsewhere in place of a fit.

        Parameters
        ----------
        fitted : FittedHeads
            With the log-likelihoods of held-out items, on which the decision is chosen.
        n_classes : int
            At least the largest number of choices of an item.

        Returns
        -------
        LikraClassifier
            Itself, fitted.
        """
        self.classes_ = np.arange(n_classes)
        self.scorer_ = fitted.scorer
        self.adapter_ = fitted.scorer.adapter
        self.trials_ = tuple(fitted.trials)
        self.penalty_ = fitted.penalty
        self.negatives_ = fitted.negatives
        self.n_items_ = fitted.n_items
        self.n_examples_ = fitted.n_examples
        self.training_hashes_ = fitted.training
        self.held_out_ = fitted.table
        self.held_out_y_ = fitted.y
        self._decided: tuple[DecisionRule, LinearDecision] | None = None
        self._cross_fitted: tuple[DecisionRule, AnyDecision] | None = None
        return self

    def _check_parameters(self) -> None:
        for name, kinds in (("prompt", (str, Prompt)), ("answer_delimiter", (str,))):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kinds):
                raise LikraError(f"got a {name} of type {type(value).__name__}; expected a string")
        check_one_of("mode", self.mode, ("auto", *MODES))
        check_one_of("normalization", self.normalization, (*NORMALIZATIONS, "auto"))
        check_one_of("negatives", self.negatives, NEGATIVES)
        check_number_or_auto("alpha", self.alpha)
        check_number_or_auto("penalty", self.penalty, positive=True)
        check_integer("n_negatives", self.n_negatives, 1)
        if self.n_examples != "auto":
            check_integer("n_examples", self.n_examples, 0)
        check_integer("random_state", self.random_state, 0)
        check_integer("cv", self.cv, 2, optional=True)
        check_integer("n_choices", self.n_choices, 2, optional=True)
        check_integer("n_threads", self.n_threads, 1, optional=True)
        check_integer("n_jobs", self.n_jobs, -1, optional=True)
        check_share("contamination", self.contamination)
        check_flag("cache", self.cache)
        check_flag("verbose", self.verbose)
        check_one_of("adapter", self.adapter, ADAPTERS)
        if self.adapter == "none" and self.mode in MODES:
            missing = {*MODES[self.mode].heads}.difference(FREE_HEADS)
            if missing:
                raise LikraError(
                    f"mode {self.mode!r} reads the {' and the '.join(sorted(missing))} head, but "
                    "got adapter='none'"
                )
        if self.recipe is not None and not isinstance(self.recipe, LoraRecipe):
            raise LikraError(
                f"got a recipe of type {type(self.recipe).__name__}; expected a LoraRecipe"
            )

    def _rule(self) -> DecisionRule:
        if self.adapter == "none":
            heads: tuple[str, ...] = FREE_HEADS
        elif self.adapter != "output" and self.recipe and self.recipe.objective != "likelihood":
            heads = tuple(head for head in HEADS if head != "negative")
        else:
            heads = HEADS
        return DecisionRule(self.mode, self.alpha, self.normalization, heads)

    def _settings(self) -> FitSettings:
        return FitSettings(
            rule=self._rule(),
            negatives=self.negatives,
            n_negatives=self.n_negatives,
            contamination=self.contamination,
            penalty=self.penalty,
            recipe=self.recipe,
            prompt=self.prompt,
            answer_delimiter=self.answer_delimiter,
            try_examples=self.n_examples == "auto",
            cv=self.cv,
            seed=self.random_state,
            train_dir=self.train_dir,
            n_threads=self.n_threads,
            cache=self.cache,
            verbose=self.verbose,
        )

    @property
    def decision_(self) -> LinearDecision:
        """What is in force."""
        check_is_fitted(self, "held_out_")
        try:
            self._check_parameters()
            rule = self._rule()
            decided = getattr(self, "_decided", None)
            if decided is None or decided[0] != rule:
                decision = rule.decide(self.held_out_, self.held_out_y_)
                decided = self._decided = (rule, decision)
        except LikraError as error:
            raise DecisionError(str(error)) from error
        return decided[1]

    @property
    def held_out_decision_(self) -> AnyDecision:
        """What would be in force without each tenth of ``held_out_``, to decide that tenth."""
        self.decision_  # noqa: B018 - raises what is wrong
        rule = self._rule()
        crossed = getattr(self, "_cross_fitted", None)
        if crossed is None or crossed[0] != rule:
            decision = rule.cross_fit(self.held_out_, self.held_out_y_)
            crossed = self._cross_fitted = (rule, decision)
        return crossed[1]

    def unscorable(self, X: Any) -> dict[int, str]:
        """Return why items cannot be scored, by their index; empty if all can.

        The other methods raise an error at the first such item. To go on without them::

            bad = classifier.unscorable(items)
            classifier.predict([item for i, item in enumerate(items) if i not in bad])

        Parameters
        ----------
        X : items in any accepted form

        Returns
        -------
        dict of int to str
        """
        check_is_fitted(self, "held_out_")
        return self.scorer_.unscorable(as_items(X))

    def log_likelihoods(self, X: Any, heads: tuple[str, ...] | None = None) -> LogLikelihoods:
        """Return the log-likelihoods of every choice under every head.

        Parameters
        ----------
        X : items in any accepted form, or LogLikelihoods
        heads : tuple of str, optional
            All that were fitted by default, with ``base`` and ``neutral``.

        Returns
        -------
        LogLikelihoods
            Accepted by the other methods in place of items.
        """
        check_is_fitted(self, "held_out_")
        if isinstance(X, LogLikelihoods):
            return X
        for head in heads if isinstance(heads, Sequence) else [heads] if heads is not None else ():
            check_one_of("head", head, self.scorer_.heads)
        items = as_items(X)
        with progress_bar(len(items), "scoring", self.verbose) as bar:
            return score_table(self.scorer_, items, heads, self.n_jobs, bar.update)

    def _table(self, X: Any) -> LogLikelihoods:
        return self.log_likelihoods(X, self.decision_.heads)

    def score_choices(self, X: Any) -> list[FloatArray]:
        """Return the score of every choice, one array of shape (n_choices,) per item."""
        check_is_fitted(self, "held_out_")
        table = self._table(X)
        return table.split(self.decision_.scores(table))

    def predict(self, X: Any) -> IntArray:
        """Return the index of the best choice of every item, of shape (n_items,)."""
        check_is_fitted(self, "held_out_")
        return self.decision_.predict(self._table(X))

    def predict_proba(self, X: Any) -> FloatArray:
        """Return probabilities, of shape (n_items, n_classes).

        A class that an item has no choice for has probability 0.

        Raises
        ------
        LikraError
            If an item has more choices than there are classes.
        """
        check_is_fitted(self, "held_out_")
        table = self._table(X)
        counts, width = table.n_choices, len(self.classes_)
        if counts.max() > width:
            raise LikraError(
                f"item {int(counts.argmax())} has {counts.max()} choices but there are {width} "
                f"classes; fit with n_choices={counts.max()}"
            )
        result = np.zeros((len(table), width))
        result[np.arange(width) < counts[:, None]] = self.decision_.probabilities(table)
        return result

    def predict_set(self, X: Any, coverage: float = 0.9) -> list[IntArray]:
        """Return, for every item, choices that hold the right one with a stated probability.

        The sets are conformal, see :func:`likra_lite.scoring.conformal.set_threshold`, and
        calibrated on ``held_out_``. New items must be exchangeable with these. The guarantee is
        exact on average for validation items that nothing was chosen on; it is close, as in
        cross-conformal prediction (Vovk 2015), where the training items were cross-fitted, since
        the final heads have seen more items than those that scored the held-out ones. Weights,
        alpha and temperature are cross-fitted likewise.

        Parameters
        ----------
        X : items in any accepted form, or LogLikelihoods
        coverage : float, default=0.9
            Share of the sets that shall hold the right choice, between 0 and 1. It is no lower
            than accuracy, as the best choice is always in the set.

        Returns
        -------
        list of ndarray of shape (n_kept,)
            Indices of choices, best first.

        Raises
        ------
        LikraError
            If `coverage` is out of range, or too high for the number of held-out items.
        """
        unseen = self.held_out_decision_
        threshold = set_threshold(self.held_out_, unseen, self.held_out_y_, coverage)
        return prediction_sets(self._table(X), self.decision_, threshold)

    def predict_or_abstain(
        self, X: Any, error_rate: float = 0.1, confidence: float = 0.9
    ) -> IntArray:
        """Return the best choice of every item, or -1 where it is too unsure.

        The share of wrong answers among those given is at most `error_rate`, with the given
        confidence, see :func:`likra_lite.scoring.conformal.abstention_threshold`. It is
        calibrated on ``held_out_``, and holds under the same conditions as that of
        :meth:`predict_set`.

        Parameters
        ----------
        X : items in any accepted form, or LogLikelihoods
        error_rate : float, default=0.1
            Between 0 and 1.
        confidence : float, default=0.9
            Between 0 and 1.

        Returns
        -------
        ndarray of shape (n_items,)

        Raises
        ------
        LikraError
            If a share is out of range, or there are too few held-out items.

        Warns
        -----
        AbstentionWarning
            If every item is abstained from, because no threshold can be certified.
        """
        unseen = self.held_out_decision_
        threshold = abstention_threshold(
            self.held_out_, unseen, self.held_out_y_, error_rate, confidence
        )
        return predict_or_abstain(self._table(X), self.decision_, threshold)

    def score(self, X: Any, y: ArrayLike | None = None, sample_weight: Any = None) -> float:
        """Return the accuracy; `y` is the items' own answers by default."""
        if not isinstance(X, LogLikelihoods):
            X = as_items(X)
            y = answer_indices(X, y)
        else:
            y = _right_choices(X, y)
        return float(super().score(X, y, sample_weight))

    def explain(self, item: Any) -> Explanation:
        """Return one item's log-probabilities token by token, under every head.

        Parameters
        ----------
        item : Item, dict or (question, choices)

        Returns
        -------
        Explanation
        """
        check_is_fitted(self, "held_out_")
        return explain_item(self.scorer_, self.decision_, as_items([item])[0])

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write model, heads and settings to a model folder, replacing an existing one.

        Parameters
        ----------
        folder : path

        Raises
        ------
        LikraError
            If the folder cannot be written. Nothing is left behind then.
        """
        from .heads.saving import Saved, save_heads

        check_is_fitted(self, "held_out_")
        parameters = self.get_params()
        del parameters["model"], parameters["n_jobs"]  # of this machine
        fitted = FittedHeads(
            self.scorer_,
            self.negatives_,
            self.held_out_,
            self.held_out_y_,
            self.n_items_,
            self.penalty_,
            self.trials_,
            self.training_hashes_,
            self.n_examples_,
        )
        saved = Saved(fitted, self.decision_, self._rule(), parameters, len(self.classes_))
        save_heads(as_path("folder", folder), saved)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], n_threads: int | None = None) -> LikraClassifier:
        """Read a classifier from a model folder written by :meth:`save`.

        Parameters
        ----------
        folder : path
        n_threads : int, optional

        Returns
        -------
        LikraClassifier

        Raises
        ------
        ModelFolderError
            If the folder is damaged, newer than this version, or has no fitted heads.
        """
        from .heads.saved import read_saved

        path = as_path("folder", folder)
        saved = read_saved(path, n_threads, cls().get_params())
        classifier = cls(model=path.resolve(), **saved.parameters)
        fitted = saved.fitted
        if not classifier.cache:
            fitted = replace(fitted, scorer=replace(fitted.scorer, cache=None))
        classifier.adopt(fitted, saved.n_classes)
        classifier._decided = (classifier._rule(), saved.decision)
        return classifier


def _right_choices(table: LogLikelihoods, y: ArrayLike | None) -> IntArray:
    """Return the right choices of a table's items, which are indices."""
    if y is None:
        raise LikraError("log-likelihoods hold no answers; pass y")
    right = np.asarray(y)
    if right.shape != (len(table),) or right.dtype.kind not in "iu":
        raise LikraError(
            f"got y={shown(y)}; expected the index of the right choice of each of the {len(table)} "
            "items of the table"
        )
    return right.astype(np.int64)
