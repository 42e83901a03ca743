"""First steps: fit on items, choose alpha, compare wrong answers, look into one item.

    pip install .
    python examples/first_steps.py

To be run cell by cell (``# %%``), from the first to the last, in an editor that knows
notebooks, or as a whole from the root of the repository. The items are those of the demo; the
last cell does the same with a file of your own.
"""

# %% Items and their right answers. The test items share no sentence with the training items.
from likra_lite import LikraClassifier, read_items
from likra_lite.datasets import load_demo

items, y = load_demo("train")
test_items, test_y = load_demo("test")
items, y = items[:256], y[:256]
print(items[0].question)
for choice in items[0].choices:
    print("  ", choice)

# %% Fit. Without a model folder, the bundled language model is used. Heads of several kinds are
# tried on items that are held out of their fit; the best stay, and the weights of the decision
# are fitted on those items too.
classifier = LikraClassifier().fit(items, y)
for trial in classifier.trials_:
    print(f"{trial.name:<8}log-loss {trial.loss:.3f}  accuracy {trial.accuracy:.3f}")
print(classifier.decision_)
print("test accuracy", classifier.score(test_items, test_y))
print(classifier.predict_proba(test_items[:1]).round(3))

# %% Other modes and alphas are arithmetic on stored log-likelihoods, in nats: read the test
# items once, then ask as often as you like. Held-out items are for choosing; the test items
# tell how good the choice was.
held_out, held_out_y = classifier.held_out_, classifier.held_out_y_
table = classifier.log_likelihoods(test_items)
for mode in ("base", "pmi", "sft", "likra", "base-likra"):
    for alpha in (0.5, 0.9, 1.0) if "likra" in mode else (1.0,):
        classifier.set_params(mode=mode, alpha=alpha)
        chosen, tested = classifier.score(held_out, held_out_y), classifier.score(table, test_y)
        print(f"{mode:<12}alpha {alpha:<5}held out {chosen:.3f}  test {tested:.3f}")

# %% Which wrong answers teach? Random ones of the same question ("own"), those that the base
# model finds most or least likely, all of them, or answers of other questions. Output matrices
# are fitted in no time in this small world.
for negatives in ("own", "all", "hardest", "easiest", "other"):
    how = {"adapter": "output", "mode": "base-likra", "cv": 2}
    fitted = LikraClassifier(negatives=negatives, **how).fit(items, y)
    print(f"{negatives:<10}{fitted.score(test_items, test_y):.3f}")

# %% One item, token by token: what speaks for each choice and what against it.
classifier.set_params(mode="base-likra", alpha="auto")
print(classifier.explain(test_items[0]))

# %% Keep it. The folder holds model and heads, and needs nothing else.
classifier.save("my-classifier")
print(LikraClassifier.load("my-classifier").score(test_items[:100], test_y[:100]))

# %% Questions of your own, in a file with one JSON object per line. The bundled model knows
# only its small world: for other questions, export a model that knows more, and pass its
# folder, as in LikraClassifier("my-model").
own = read_items("examples/questions.jsonl")
with_own = LikraClassifier(mode="pmi").fit(own)
print("on questions about the real world", with_own.score(own))
