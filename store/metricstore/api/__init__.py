"""The HTTP edge: who is asking, what of; everything else is called. Frameworks are known here and in `app` only."""
