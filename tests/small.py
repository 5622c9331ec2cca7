"""The smallest config that runs: two made-up languages, two folds, one epoch; tests add what they are about."""

SMALL = """\
sere: 1
name: small
corpora:
  xa: {use: synthetic, params: {language: xa, speakers: 2, per_class: 1, emotions: [anger, sadness], seconds: 0.4}}
  xb: {use: synthetic, params: {language: xb, speakers: 2, per_class: 1, emotions: [anger, sadness], seconds: 0.4}}
task: {source: xa, target: xb, shots: 1, folds: 2}
encoders: {mel: {use: logmel, params: {bands: 8, dim: 4, layers: 0}}}
paths: {labelled: mel, unlabelled: mel}
network: {dim: 8}
dynamics: {use: static}
resonance: {use: mean}
losses: {classify: {use: cross_entropy}}
train: {epochs: 1, batch: {source: 2, target: 2}, device: cpu}
output: {dir: runs}
"""
