"""The names of the ResNets, and what they say."""

# name -> (blocks of each stage, bottleneck?)
RESNETS = {
    "resnet50": ((3, 4, 6, 3), True),
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet101": ((3, 4, 23, 3), True),
}
