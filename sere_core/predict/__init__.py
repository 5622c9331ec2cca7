"""`sere predict`: audio in, answers out.  `inputs` -> `pieces` -> `job` -> `outputs`."""
