"""A Jupyter server that shows the explorer of a data set by Voilà, behind a token (``edgeprof serve``)."""
