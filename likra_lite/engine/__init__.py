"""Text to log-probabilities: a language model in a folder, run by ONNX Runtime.

A context and its continuations form a *token tree*: the context once, each continuation a
branch. The *trunk* is the model without its vocabulary projection; it turns the tokens of trees
into hidden states. Tokens that several trees begin with are read once and their keys and values
kept, as the *past* of what follows. A *head* is a change of the model that was fitted on answers.
"""
