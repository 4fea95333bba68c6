"""An export behind HTTP: TensorFlow Serving's REST shape, plain uploads, and a page for people."""
