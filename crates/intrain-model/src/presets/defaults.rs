//! What a run of a preset has where nobody says otherwise: settings by their names, read by whoever trains.
//!
//! A network that is trained with recipes of both kinds has its paper's settings, and under `power_of_two` those for updates
//! that are relative to the largest gradient. `any_recipe` holds whatever a recipe says.

/// The embedded digits are few: short runs of small batches.
pub(super) const DIGITS_CNN: &str = "
recipe = 'wage'
learning_rate = 0.02
weight_decay = 0.0
power_of_two = { learning_rate = 8.0 }
any_recipe = { epochs = 30, batch_size = 32 }
";

/// Tables may be short: many passes of small batches.
pub(super) const TABLE_MLP: &str = "
recipe = 'wage'
learning_rate = 0.02
weight_decay = 0.0
power_of_two = { learning_rate = 8.0 }
any_recipe = { epochs = 60, batch_size = 16 }
";

/// Gupta 2015, section 4.1; the MLP's rate and epochs are not stated there.
pub(super) const MLP: &str = "
recipe = 'wage'
epochs = 15
batch_size = 100
learning_rate = 0.1
momentum = 0.0
weight_decay = 0.0
schedule = []
";

/// Gupta 2015, section 4.1.
pub(super) const GUPTA_CNN: &str = "
recipe = 'wage'
gupta_outputs = 'Q6.10'
epochs = 20
batch_size = 100
learning_rate = 0.1
decay = 0.95
momentum = 0.9
weight_decay = 5e-4
schedule = []
";

/// Gupta 2015, section 4.2; momentum is not stated there.
pub(super) const GUPTA_CIFAR: &str = "
recipe = 'wage'
gupta_outputs = 'Q4.12'
epochs = 120
batch_size = 100
learning_rate = 0.01
momentum = 0.9
weight_decay = 0.0
schedule = [[50, 2.0], [75, 4.0], [100, 8.0]]
any_recipe = { pad = 0, flip = false }
";

/// A chain for integers alone.
pub(super) const CHAIN: &str = "
recipe = 'wage'
";

/// Wu 2018.
pub(super) const VGG7: &str = "
recipe = 'wage'
power_of_two = { epochs = 300, batch_size = 128, learning_rate = 8.0 }
";

/// As VGG-7, with the norms that its recipe has none for.
pub(super) const VGG7_NORM: &str = "
recipe = 'wage-l1bn'
power_of_two = { epochs = 300, batch_size = 128, learning_rate = 8.0 }
";

/// A network with norms whose paper says nothing else.
pub(super) const NORMED: &str = "
recipe = 'intrain-int8'
";

/// zhaoweicai/hwgq@ebc706b: 100,000 steps, in which the rate falls in a line.
pub(super) const VGG_SMALL: &str = "
recipe = 'intrain-int8'
epochs = 200
batch_size = 100
learning_rate = 0.01
momentum = 0.9
weight_decay = 5e-4
schedule = []
poly = 1.0
";

/// He 2016, section 4.2: 64,000 steps.
pub(super) const RESIDUAL: &str = "
recipe = 'intrain-int8'
epochs = 164
batch_size = 128
learning_rate = 0.1
momentum = 0.9
weight_decay = 1e-4
schedule = [['1/2', 10.0], ['3/4', 100.0]]
";

/// Networks of small devices: as He 2016, in fewer epochs.
pub(super) const TINY: &str = "
recipe = 'intrain-int8'
epochs = 100
batch_size = 128
learning_rate = 0.1
momentum = 0.9
weight_decay = 1e-4
schedule = [['1/2', 10.0], ['3/4', 100.0]]
";

/// zhaoweicai/hwgq@ebc706b: steps of their batches over ImageNet, in epochs.
pub(super) const ALEXNET: &str = "
recipe = 'intrain-int8'
epochs = 64
batch_size = 256
learning_rate = 0.02
momentum = 0.9
weight_decay = 5e-4
schedule = []
poly = 1.0
";

/// As AlexNet, but for batches and rate. Its first norm lies behind a pooling, which integers cannot plan.
pub(super) const VGG_VARIANT: &str = "
recipe = 'float32'
epochs = 64
batch_size = 128
learning_rate = 0.01
momentum = 0.9
weight_decay = 5e-4
schedule = []
poly = 1.0
";

/// zhaoweicai/hwgq@ebc706b.
pub(super) const LARGE_RESIDUAL: &str = "
recipe = 'intrain-int8'
epochs = 64
batch_size = 256
learning_rate = 0.1
momentum = 0.9
weight_decay = 5e-5
schedule = []
poly = 1.0
";

/// As the others, with half of their batches.
pub(super) const RESNET50: &str = "
recipe = 'intrain-int8'
epochs = 64
batch_size = 128
learning_rate = 0.1
momentum = 0.9
weight_decay = 5e-5
schedule = []
poly = 1.0
";
