/* The one table of options, and the parser that reads it. */
#include "options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(settings, field)
enum {
    MODELS =
        EXPLAIN | CLASSIFY | LAYERS | DOCTOR | BENCH | TUNE | SANITY | SCORE | EVALUATE | CONVERT | CONCEPTS,
    RUNS = EXPLAIN | CLASSIFY,
    READS = RUNS | SANITY | SCORE | EVALUATE | CONCEPTS, /* images */
    BASES = MODELS | TRAIN | PROBE,
    FITS = READS | TRAIN | PROBE | COMPARE,
    JUDGES = EVALUATE | COMPARE,
    COMPARES = EXPLAIN | SANITY,
    ATTRIBUTES = COMPARES | SCORE,
    DRAWS = EXPLAIN | RENDER
};

const option_row option_rows[] = {
    {"--output", "-o", "DIR", OPTION_FOLDER, AT(output), DRAWS | JUDGES | CONCEPTS, 0, 0, NULL, NULL,
     "folder for what is written; made if missing"},
    {"--method", NULL, "NAME,...", OPTION_CHOICES, AT(method), COMPARES, 0, 0, "gradcam", method_choice,
     "attribution methods; several make one comparing picture and their correlations; `netgaze methods` "
     "describes them"},
    {"--layer", "-l", "NAME,...", OPTION_TEXT, AT(layer), ATTRIBUTES, 0, 0, NULL, NULL,
     "layers to explain, by path or by bare name where unique; left out: the last spatial one before the "
     "global "
     "pooling; `netgaze layers` lists them"},
    {"--class", "-c", "CLASS,...", OPTION_TEXT, AT(classes), COMPARES, 0, 0, NULL, NULL,
     "classes to explain: predicted (what is done when left out), true (see --truth), all, numbers or "
     "labels"},
    {"--truth", NULL, "FILE|folders", OPTION_TEXT, AT(truth), EXPLAIN, 0, 0, NULL, NULL,
     "the images' true classes: a CSV file of PATH,LABEL, or the names of the folders they lie in"},
    {"--top", "-k", "K", OPTION_INTEGER, AT(top), RUNS, 0, 1000000, NULL, NULL,
     "explain: the K most likely classes instead of --class; classify: how many to list, 5 when left out. 0: "
     "all"},
    {"--target", NULL, "SCORE", OPTION_CHOICE, AT(target), ATTRIBUTES, 0, 0, NULL, target_choice,
     "the score whose gradient is taken; logit when left out, probability with --compat article"},
    {"--against", NULL, "CLASS", OPTION_TEXT, AT(against), COMPARES, 0, 0, NULL, NULL,
     "the other class of --target contrast, by number or label; the most likely other one when left out"},
    {"--target-alpha", NULL, "A", OPTION_NUMBER, AT(target_alpha), ATTRIBUTES, 0, 10, "0.6", NULL,
     "weight of the neighbouring classes in --target finer"},
    {"--param", "-p", "NAME=VALUE,...", OPTION_TEXT, AT(parameters), ATTRIBUTES, 0, 0, NULL, NULL,
     "parameters of the method; `netgaze methods` lists them"},
    {"--variant", NULL, "NAME", OPTION_TEXT, AT(variant), ATTRIBUTES, 0, 0, NULL, NULL,
     "whose formula of the method, where there are several: --param variant=NAME"},
    {"--seed", NULL, "N", OPTION_INTEGER, AT(seed), ATTRIBUTES, 0, 2147483647, NULL, NULL,
     "of the random numbers, where the method draws any: --param seed=N"},
    {"--budget", NULL, "SECONDS", OPTION_SECONDS, AT(budget), ATTRIBUTES, 0.001, 1e6, NULL, NULL,
     "time for one map, such as 10s, for methods that run the network many times; then the best map so far "
     "is taken"},
    {"--smooth", NULL, "NAME", OPTION_CHOICE, AT(smooth), ATTRIBUTES, 0, 0, "none", smooth_choice,
     "the mean map of several versions of the image. flip: it and its mirror image; augment: both, each at "
     "1, 0.9 "
     "and 1.1 times its values; scaled: the same with every map scaled to 0..1, as pytorch-grad-cam's "
     "aug_smooth"},
    {"--eigen-smooth", NULL, NULL, OPTION_FLAG, AT(eigen_smooth), ATTRIBUTES, 0, 0, NULL, NULL,
     "the principal component of the channels' shares in the map instead of their sum, as pytorch-grad-cam's "
     "eigen_smooth; for methods that sum over channels"},
    {"--fuse", NULL, "RULE", OPTION_CHOICE, AT(fuse), ATTRIBUTES, 0, 0, NULL, fuse_choice,
     "one map of all the layers of --layer: the mean of their maps, or the largest of their tanh"},
    {"--baseline", NULL, "IMAGE|FOLDER", OPTION_FILE, AT(baseline), ATTRIBUTES, 0, 0, NULL, NULL,
     "what methods with a baseline compare with: an image, or the mean of a folder's images; --param "
     "baseline=NAME has others"},
    {"--compat", NULL, "TOOL", OPTION_CHOICE, AT(compat), DRAWS, 0, 0, NULL, compat_choice,
     "conventions of another tool: the article's code, the Keras example, pytorch-grad-cam, tf-keras-vis"},
    {"--colormap", NULL, "NAME", OPTION_CHOICE, AT(colormap), DRAWS, 0, 0, NULL, colormap_choice,
     "colours; jet when left out, coolwarm for signed maps"},
    {"--norm", NULL, "NAME", OPTION_CHOICE, AT(norm), EXPLAIN, 0, 0, NULL, norm_choice,
     "how the raw map is scaled for display; when left out max, or percentile for methods that explain "
     "pixels. The raw map itself is never scaled. `netgaze render` can give all maps one scale"},
    {"--norm", NULL, "NAME", OPTION_CHOICE, AT(norm), RENDER, 0, 0, NULL, render_norm_choice,
     "how the raw maps are scaled for display; class and dataset: one scale, up to the largest value of the "
     "sidecars named, for each class or for all (of one method and layer)"},
    {"--alpha", NULL, "A", OPTION_NUMBER, AT(alpha), DRAWS, 0, 1, NULL, NULL,
     "weight of the heatmap in the overlay; 0.4 when left out"},
    {"--signed", NULL, NULL, OPTION_FLAG, AT(use_signed), DRAWS, 0, 0, NULL, NULL,
     "draw the signed map, before the relu"},
    {"--box", NULL, "SHARE", OPTION_NUMBER, AT(box), DRAWS, 0.01, 1, NULL, NULL,
     "the box around the largest region that reaches this share of the map's maximum, drawn and, by explain, "
     "recorded; 0.15 and 0.2 are usual"},
    {"--check", NULL, NULL, OPTION_FLAG, AT(check), EXPLAIN, 0, 0, NULL, NULL,
     "compare every map with that of a blank image and with that of the model with a shuffled last layer, "
     "and "
     "doubt maps that are the same"},
    {"--control", NULL, "NAME", OPTION_CHOICE, AT(control), SANITY, 0, 0, "redraw", control_choice,
     "how layers forget: all of their weights drawn anew, as before training, or their kernels' values put "
     "out of order"},
    {"--outputs", NULL, "KIND,...", OPTION_CHOICES, AT(outputs), EXPLAIN, 0, 0,
     "raw,heatmap,overlay,figure,sidecar", output_choice,
     "what to write; a rerun continues only where sidecars are written"},
    {"--picture-format", NULL, "NAME", OPTION_CHOICE, AT(picture_format), EXPLAIN, 0, 0, "png",
     picture_format_choice,
     "of the pictures; jpg is several times faster to write and a fraction of the size"},
    {"--grid", NULL, NULL, OPTION_FLAG, AT(grid), EXPLAIN, 0, 0, NULL, NULL,
     "one more picture per image: a column per class, a row per layer"},
    {"--force", NULL, NULL, OPTION_FLAG, AT(force), EXPLAIN, 0, 0, NULL, NULL,
     "do again what an earlier run has finished"},
    {"--image", NULL, "FILE", OPTION_FILE, AT(image), RENDER, 0, 0, NULL, NULL,
     "the original image, where it is no longer in its place"},
    {"--output", "-o", "OUT", OPTION_FILE, AT(output), TRAIN, 0, 0, NULL, NULL,
     "the new model: a .keras archive, a Keras .h5 file, else a folder of TensorFlow.js layers"},
    {"--val", NULL, "SHARE", OPTION_NUMBER, AT(train.val), TRAIN, 0, 0.9, "0.2", NULL,
     "of each class's images to validate on, where the data name no splits"},
    {"--test", NULL, "SHARE", OPTION_NUMBER, AT(train.test), TRAIN, 0, 0.9, "0", NULL,
     "of each class's images to be judged on at the end"},
    {"--group", NULL, "REGEX", OPTION_TEXT, AT(train.group), TRAIN | PROBE, 0, 0, NULL, NULL,
     "what it matches of a file's name (its first bracket, if it has one) is a group, such as a patient, "
     "that stays in one "
     "split"},
    {"--no-duplicates", NULL, NULL, OPTION_FLAG, AT(train.no_duplicates), TRAIN, 0, 0, NULL, NULL,
     "do not look for near-duplicates across splits first"},
    {"--base-layer", NULL, "NAME", OPTION_TEXT, AT(train.base_layer), TRAIN, 0, 0, NULL, NULL,
     "where the base is cut; the layer before the old head when left out; `netgaze probe` compares layers"},
    {"--pooling", NULL, "NAME", OPTION_CHOICE, AT(train.pooling), TRAIN, 0, 0, "avg", pooling_choice,
     "how a spatial output becomes the head's features"},
    {"--hidden", NULL, "N,...", OPTION_TEXT, AT(train.hidden), TRAIN, 0, 0, NULL, NULL,
     "dense layers with relu before the last one. With none, CAM proper applies"},
    {"--dropout", NULL, "RATE", OPTION_NUMBER, AT(train.dropout), TRAIN, 0, 0.99, "0.2", NULL,
     "before each dense layer"},
    {"--loss", NULL, "NAME", OPTION_CHOICE, AT(train.loss), TRAIN, 0, 0, NULL, loss_choice,
     "sigmoid is for several labels an image and is what such data get; else softmax"},
    {"--label-smoothing", NULL, "S", OPTION_NUMBER, AT(train.label_smoothing), TRAIN, 0, 0.99, "0", NULL,
     "of the targets"},
    {"--epochs", NULL, "N", OPTION_INTEGER, AT(train.epochs), TRAIN, 0, 1000000, "30", NULL,
     "of the head on features that are computed once, at most"},
    {"--batch", "-b", "N", OPTION_INTEGER, AT(train.batch), TRAIN, 1, 4096, "32", NULL, "images an update"},
    {"--optimizer", NULL, "NAME", OPTION_CHOICE, AT(train.optimizer), TRAIN, 0, 0, "adam", optimizer_choice,
     "with the update rule of Keras 3"},
    {"--rate", NULL, "R", OPTION_NUMBER, AT(train.rate), TRAIN, 1e-12, 1000, "0.001", NULL,
     "learning rate of the head"},
    {"--momentum", NULL, "M", OPTION_NUMBER, AT(train.momentum), TRAIN, 0, 0.9999, "0.9", NULL, "of sgd"},
    {"--epsilon", NULL, "E", OPTION_NUMBER, AT(train.epsilon), TRAIN, 1e-12, 10, "0.0000001", NULL,
     "of adam and adamw, beside the root of the second moment: a larger one takes smaller steps where "
     "gradients "
     "are small"},
    {"--weight-decay", NULL, "D", OPTION_NUMBER, AT(train.weight_decay), TRAIN, 0, 1, NULL, NULL,
     "decoupled; Keras's when left out: 0.004 for adamw, else 0"},
    {"--clip", NULL, "NORM", OPTION_NUMBER, AT(train.clip), TRAIN, 0, 1e9, "0", NULL,
     "largest norm of all gradients together; 0: not clipped"},
    {"--ema", NULL, "M", OPTION_NUMBER, AT(train.ema), TRAIN, 0, 0.999999, "0", NULL,
     "momentum of a moving average of the weights, which is then what is validated and saved"},
    {"--schedule", NULL, "NAME", OPTION_CHOICE, AT(train.schedule), TRAIN, 0, 0, "constant", schedule_choice,
     "of the learning rate, for each stage (cosine falls to 0 at its end, step to a tenth after each third "
     "of it, plateau to a tenth after half of --patience)"},
    {"--warmup", NULL, "STEPS", OPTION_INTEGER, AT(train.warmup), TRAIN, 0, 1000000000, "0", NULL,
     "updates in which the learning rate grows to its full size"},
    {"--class-weights", NULL, NULL, OPTION_FLAG, AT(train.class_weights), TRAIN, 0, 0, NULL, NULL,
     "rare classes weigh more in the loss: images / (classes * images of the class)"},
    {"--balanced", NULL, NULL, OPTION_FLAG, AT(train.balanced), TRAIN, 0, 0, NULL, NULL,
     "classes come equally often: images of rare ones several times an epoch"},
    {"--patience", NULL, "N", OPTION_INTEGER, AT(train.patience), TRAIN, 0, 1000000, "10", NULL,
     "epochs without a better validation loss that end a stage; 0: none do"},
    {"--keep-last", NULL, NULL, OPTION_FLAG, AT(train.keep_last), TRAIN, 0, 0, NULL, NULL,
     "the last epoch's weights, not those with the best validation loss"},
    {"--unfreeze", NULL, "LAYER", OPTION_TEXT, AT(train.unfreeze), TRAIN, 0, 0, NULL, NULL,
     "a second stage trains this layer and all behind it, with the head, on augmented images"},
    {"--fine-epochs", NULL, "N", OPTION_INTEGER, AT(train.fine_epochs), TRAIN, 0, 1000000, "10", NULL,
     "of the second stage, at most"},
    {"--fine-rate", NULL, "R", OPTION_NUMBER, AT(train.fine_rate), TRAIN, 1e-12, 1000, "0.00001", NULL,
     "its learning rate"},
    {"--train-norms", NULL, NULL, OPTION_FLAG, AT(train.train_norms), TRAIN, 0, 0, NULL, NULL,
     "gamma and beta of batch norms are trained too; their statistics never change"},
    {"--augment", NULL, "NAME=VALUE,...", OPTION_TEXT, AT(augment), TRAIN, 0, 0, NULL, NULL,
     "of the second stage: those of `netgaze augment-preview`, mixup and cutmix"},
    {"--attention-loss", NULL, "WEIGHT", OPTION_NUMBER, AT(train.attention), TRAIN, 0, 1000000, "0", NULL,
     "of the second stage: the share of the Grad-CAM's energy beside the object, by the data's masks or "
     "boxes"},
    {"--background-swap", NULL, "P", OPTION_NUMBER, AT(train.background_swap), TRAIN, 0, 1, "0", NULL,
     "of the second stage: probability that an object is laid on another image's background"},
    {"--seed", NULL, "N", OPTION_INTEGER, AT(seed), TRAIN | PROBE, 0, 2147483647, NULL, NULL,
     "of splits, order, first weights, dropout and augmentation; 0 when left out"},
    {"--micro-batch", NULL, "N", OPTION_INTEGER, AT(train.micro_batch), TRAIN, 1, 256, "4", NULL,
     "images a thread runs at a time; gradients are added up over the batch"},
    {"--memory", NULL, "SIZE", OPTION_TEXT, AT(train.memory), TRAIN, 0, 0, NULL, NULL,
     "for activations, such as 4G: micro-batches become smaller until they fit"},
    {"--resume", NULL, NULL, OPTION_FLAG, AT(train.resume), TRAIN, 0, 0, NULL, NULL,
     "go on from the checkpoint of a run that was cut off, to the same bytes; without one it begins"},
    {"--checkpoint-minutes", NULL, "M", OPTION_NUMBER, AT(train.checkpoint_minutes), TRAIN, 0, 100000, "5",
     NULL, "between checkpoints; each epoch's end and Ctrl-C write one too"},
    {"--folder", NULL, "DIR", OPTION_FOLDER, AT(train.folder), TRAIN, 0, 0, NULL, NULL,
     "of metrics, checkpoint and features; OUT without its ending + -train when left out"},
    {"--report", NULL, "DIR", OPTION_FOLDER, AT(train.report), TRAIN, 0, 0, NULL, NULL,
     "of the report at the end and of what is watched; OUT without its ending + -report when left out"},
    {"--no-report", NULL, NULL, OPTION_FLAG, AT(train.no_report), TRAIN, 0, 0, NULL, NULL,
     "leave the report out (`netgaze evaluate` makes one at any time)"},
    {"--watch", NULL, "K", OPTION_INTEGER, AT(train.watch), TRAIN, 0, 1000, "0", NULL,
     "explain the same K validation images after each epoch: a page and a strip in the report's folder"},
    {"--features", NULL, "FILE", OPTION_FILE, AT(train.features), TRAIN, 0, 0, NULL, NULL,
     "the base's features, for several runs on the same images; in the folder when left out"},
    {"--layer", "-l", "NAME,...", OPTION_TEXT, AT(layer), PROBE, 0, 0, NULL, NULL,
     "layers to compare; the ends of the base's blocks, the 16 deepest, when left out"},
    {"--folds", NULL, "N", OPTION_INTEGER, AT(train.folds), PROBE, 2, 100, "5", NULL,
     "of the cross-validation"},
    {"--images", NULL, "N", OPTION_INTEGER, AT(train.images), PROBE, 0, 1000000, "1000", NULL,
     "at most so many, a stratified part; 0: all"},
    {"--model", "-m", "MODEL", OPTION_FILE, AT(model), BASES, 0, 0, NULL, NULL,
     "the model, instead of the first argument"},
    {"--weights", NULL, "FILE", OPTION_FILE, AT(weights), BASES, 0, 0, NULL, NULL,
     "weight file to read onto the model"},
    {"--labels", NULL, "FILE", OPTION_FILE, AT(labels), MODELS | COMPARE, 0, 0, NULL, NULL,
     "class labels: one a line, or a JSON list or object"},
    {"--preprocess", NULL, "MODE", OPTION_CHOICE, AT(preprocess), BASES | COMPARE, 0, 0, "auto",
     preprocess_choice,
     "how pixels 0..255 become the network's input: tf -1..1, torch and caffe with ImageNet means, unit "
     "0..1, raw"},
    {"--input-size", NULL, "N|HxW", OPTION_TEXT, AT(input_size), BASES | COMPARE, 0, 0, NULL, NULL,
     "input size, where the model leaves it open or another one than its own fits"},
    {"--output-layer", NULL, "NAME|N", OPTION_TEXT, AT(output_layer), MODELS, 0, 0, NULL, NULL,
     "which output is explained where the model has several; the first when left out"},
    {"--image-input", NULL, "NAME", OPTION_TEXT, AT(image_input), MODELS, 0, 0, NULL, NULL,
     "which input is the image where the model has several; the one of height, width and channels when left "
     "out"},
    {"--input", NULL, "NAME=FILE.npy,...", OPTION_TEXT, AT(input_values), MODELS, 0, 0, NULL, NULL,
     "what the model's other inputs hold, the same for every image"},
    {"--recursive", "-r", NULL, OPTION_FLAG, AT(recursive), READS & ~EVALUATE, 0, 0, NULL, NULL,
     "take subfolders of folders too"},
    {"--fit", NULL, "NAME", OPTION_CHOICE, AT(fit), FITS, 0, 0, "squash", fit_choice,
     "how an image is brought to the input's shape"},
    {"--resize", NULL, "NAME", OPTION_CHOICE, AT(resize), FITS, 0, 0, NULL, resize_choice,
     "resampling; bilinear when left out, nearest with --compat article or keras. The plain names are PIL's"},
    {"--window-center", NULL, "V", OPTION_NUMBER, AT(window_center), FITS, -1e9, 1e9, "0", NULL,
     "centre of the grey window of images of more than 8 bits"},
    {"--window-width", NULL, "V", OPTION_NUMBER, AT(window_width), FITS, 0, 1e9, "0", NULL,
     "and its width; 0: the image's own range"},
    {"--backend", NULL, "NAME", OPTION_CHOICE, AT(backend), FITS | DOCTOR | BENCH, 0, 0, "auto",
     backend_choice, "what computes: ref is plain loops, to compare with"},
    {"--precision", NULL, "NAME", OPTION_CHOICE, AT(precision), RUNS | BENCH, 0, 0, "f32", precision_choice,
     "numbers that convolutions multiply: bf16 and int8 are faster where the processor has instructions for "
     "them, and "
     "less exact: how much, on these images, is said; refused where they are slower"},
    {"--calibrate", NULL, "FOLDER", OPTION_FILE, AT(calibrate), RUNS, 0, 0, NULL, NULL,
     "images, up to 64, from which --precision int8 learns the ranges of its numbers; the images of the run "
     "when "
     "left out"},
    {"--exact", NULL, NULL, OPTION_FLAG, AT(exact), RUNS | JUDGES | DOCTOR | BENCH, 0, 0, NULL, NULL,
     "no Winograd kernels; slower mostly. The scores are within 1e-5 of double arithmetic either way"},
    {"--threads", "-t", "N", OPTION_INTEGER, AT(threads), FITS, 1, 1024, NULL, NULL,
     "images worked on at a time; one a core when left out"},
    {"--layer", "-l", "NAME", OPTION_TEXT, AT(layer), BENCH, 0, 0, NULL, NULL,
     "layer of the Grad-CAM; the one explained by default when left out"},
    {"--threads", "-t", "N", OPTION_INTEGER, AT(threads), BENCH | TUNE, 1, 1024, NULL, NULL,
     "threads of one run; 1 when left out"},
    {"--repeat", NULL, "N", OPTION_INTEGER, AT(repeat), BENCH | TUNE, 1, 1000, "20", NULL,
     "times each is measured"},
    {"--batch", "-b", "N", OPTION_INTEGER, AT(batch), RUNS, 1, 256, NULL, NULL,
     "images in one run of a thread; when left out 4 of many, else 1"},
    {"--batch", "-b", "N", OPTION_INTEGER, AT(batch), BENCH | JUDGES | CONCEPTS, 1, 256, "1", NULL,
     "images in one run of a thread"},
    {"--candidates", NULL, NULL, OPTION_FLAG, AT(candidates), LAYERS, 0, 0, NULL, NULL,
     "only layers that can be explained"},
    {"--no-cache", NULL, NULL, OPTION_FLAG, AT(no_cache), BASES | COMPARE, 0, 0, NULL, NULL,
     "neither use nor keep decoded and packed weights of an earlier run; NETGAZE_CACHE=off does the same"},
    {"--json", NULL, NULL, OPTION_FLAG, AT(json), CACHE | BASES | COMPARE | METHODS | RENDER, 0, 0, NULL,
     NULL, "JSON lines on standard output, nothing else there"},
    {"--csv", NULL, NULL, OPTION_FLAG, AT(csv), EXPLAIN, 0, 0, NULL, NULL,
     "rows of comma-separated values on standard output, with the boxes of --box; nothing else there"},
    {"--quiet", "-q", NULL, OPTION_FLAG, AT(quiet), BASES | COMPARE | RENDER, 0, 0, NULL, NULL,
     "errors only on standard error"},
    {"--format", NULL, "NAME", OPTION_CHOICE, AT(format), CONVERT, 0, 0, NULL, format_choice,
     "what is written; by the ending of OUT when left out"},
    {"--dtype", NULL, "TYPE", OPTION_CHOICE, AT(dtype), CONVERT, 0, 0, "float32", dtype_choice,
     "how a TensorFlow.js model keeps its weights"},
    {"--augment", NULL, "NAME=VALUE,...", OPTION_TEXT, AT(augment), AUGMENT_PREVIEW, 0, 0, NULL, NULL,
     "flip, rotation, zoom, translation, contrast, brightness, hue, cutout, fill"},
    {"--output", "-o", "FILE", OPTION_FILE, AT(output), AUGMENT_PREVIEW, 0, 0, NULL, NULL,
     "the picture: .png, .jpg, .webp or .tif"},
    {"--images", NULL, "N", OPTION_INTEGER, AT(images), AUGMENT_PREVIEW, 1, 1000, "6", NULL,
     "rows: images spread evenly over the data"},
    {"--variants", NULL, "N", OPTION_INTEGER, AT(variants), AUGMENT_PREVIEW, 1, 1000, "6", NULL,
     "columns beside the original"},
    {"--seed", NULL, "N", OPTION_INTEGER, AT(seed), AUGMENT_PREVIEW, 0, 2147483647, NULL, NULL,
     "of the random numbers; 0 when left out"},
    {"--threads", "-t", "N", OPTION_INTEGER, AT(threads), DUPLICATES, 1, 1024, NULL, NULL,
     "images read at a time; one a core when left out"},
    {"--json", NULL, NULL, OPTION_FLAG, AT(json), DUPLICATES, 0, 0, NULL, NULL,
     "a JSON line for each pair on standard output, nothing else there"},
    {"--quiet", "-q", NULL, OPTION_FLAG, AT(quiet), DUPLICATES, 0, 0, NULL, NULL,
     "errors only on standard error"},
    {"--output", "-o", "DIR", OPTION_FOLDER, AT(output), SCORE, 0, 0, NULL, NULL,
     "folder for scores.jsonl, a line an image and method, from which a rerun continues, and scores.csv"},
    {"--method", NULL, "NAME,...", OPTION_CHOICES, AT(method), SCORE, 0, 0, "gradcam,randomcam,edges,centre",
     score_choice,
     "attribution methods; edges (a Sobel filter) and centre (a Gaussian) look at no network: what a method "
     "must beat; all: "
     "every method that applies, and both"},
    {"--class", "-c", "CLASS", OPTION_TEXT, AT(classes), SCORE, 0, 0, NULL, NULL,
     "the class explained: true, predicted, a number or a label; when left out the true one, where the data "
     "have labels that "
     "the model knows"},
    {"--figures", NULL, "NAME,...", OPTION_CHOICES, AT(figures), SCORE, 0, 0, "location,drop,curves",
     figure_choice,
     "what is measured. location: against mask or box; drop: average drop and increase; curves: deletion and "
     "insertion; "
     "road: ROAD at 20, 40, 60 and 80 % of the pixels; adcc: coherency, complexity, drop and their mean "
     "ADCC"},
    {"--images", NULL, "N", OPTION_INTEGER, AT(images), SCORE, 1, 1000000, NULL, NULL,
     "only so many images, spread evenly over the data"},
    {"--split", NULL, "NAME", OPTION_TEXT, AT(split), SCORE, 0, 0, "test", NULL,
     "which images of data that are split: train, val or test; all of data that are not"},
    {"--tune", NULL, "N", OPTION_INTEGER, AT(tune_images), SCORE, 0, 100000, "30", NULL,
     "validation images on which the threshold of IoU is chosen; 0: it is half of the maximum"},
    {"--steps", NULL, "N", OPTION_INTEGER, AT(steps), SCORE, 1, 10000, "20", NULL,
     "of the deletion and insertion curves"},
    {"--deletion", NULL, "NAME", OPTION_CHOICE, AT(deletion), SCORE, 0, 0, "grey", substrate_choice,
     "what deleted pixels become; mean: the image's mean colour, zero: of the network's input"},
    {"--insertion", NULL, "NAME", OPTION_CHOICE, AT(insertion), SCORE, 0, 0, "blur", substrate_choice,
     "what pixels are inserted into; blur has a standard deviation of 10 pixels"},
    {"--force", NULL, NULL, OPTION_FLAG, AT(force), SCORE, 0, 0, NULL, NULL,
     "measure again what the folder holds"},
    {"--csv", NULL, NULL, OPTION_FLAG, AT(csv), SCORE, 0, 0, NULL, NULL,
     "the table as comma-separated values on standard output, nothing else there"},
    {"--split", NULL, "NAME", OPTION_CHOICE, AT(split), JUDGES, 0, 0, NULL, split_choice,
     "images to judge by; when left out test if the data has it, else val, else all"},
    {"--method", NULL, "NAME", OPTION_CHOICE, AT(method), JUDGES, 0, 0, NULL, method_choice,
     "attribution method of the heatmaps; gradcam when left out"},
    {"--param", "-p", "NAME=VALUE,...", OPTION_TEXT, AT(parameters), JUDGES, 0, 0, NULL, NULL,
     "parameters of the method; `netgaze methods` lists them"},
    {"--layer", "-l", "NAME", OPTION_TEXT, AT(layer), JUDGES, 0, 0, NULL, NULL,
     "layer to explain, by path or by bare name where unique; left out: the last spatial one before the "
     "global "
     "pooling"},
    {"--colormap", NULL, "NAME", OPTION_CHOICE, AT(colormap), JUDGES, 0, 0, NULL, colormap_choice,
     "colours of the heatmaps; turbo when left out"},
    {"--top", "-k", "K", OPTION_INTEGER, AT(top), JUDGES, 0, 1000, NULL, NULL,
     "images that a section of the page shows at most, 24 when left out; evaluate: of mistakes eight times "
     "as many"},
    {"--title", NULL, "TEXT", OPTION_TEXT, AT(title), JUDGES, 0, 0, NULL, NULL,
     "of the page; evaluate: the model's path when left out"},
    {"--seed", NULL, "N", OPTION_INTEGER, AT(seed), JUDGES, 0, 2147483647, NULL, NULL,
     "of the bootstrap that intervals come from; 0 when left out"},
    {"--concepts", "-n", "N", OPTION_INTEGER, AT(concepts), CONCEPTS, 1, 32, "10", NULL,
     "that the class's images are taken apart into"},
    {"--class", "-c", "CLASS", OPTION_TEXT, AT(classes), CONCEPTS, 0, 0, NULL, NULL,
     "by number or label; the images that are predicted to be of it are used. Left out: the one that most of "
     "the "
     "images are predicted to be"},
    {"--layer", "-l", "NAME", OPTION_TEXT, AT(layer), CONCEPTS, 0, 0, NULL, NULL,
     "whose activations are taken apart; the one explained by default when left out"},
    {"--crops", NULL, "N", OPTION_INTEGER, AT(crops), CONCEPTS, 1, 16, "4", NULL,
     "of an image, along each of its sides"},
    {"--crop", NULL, "SHARE", OPTION_NUMBER, AT(crop), CONCEPTS, 0.05, 1, "0.3", NULL,
     "side of a crop, as a share of the image's"},
    {"--design", NULL, "N", OPTION_INTEGER, AT(design), CONCEPTS, 2, 1024, "32", NULL,
     "points of the Sobol indices: an image costs (concepts + 1) times as many runs of what lies behind the "
     "layer"},
    {"--seed", NULL, "N", OPTION_INTEGER, AT(seed), CONCEPTS, 0, 2147483647, NULL, NULL,
     "of the random numbers; 0 when left out"},
    {"--help", "-h", NULL, OPTION_FLAG, AT(help), ALL_COMMANDS, 0, 0, NULL, NULL, "this text"},
};
const int option_row_count = (int)(sizeof option_rows / sizeof *option_rows);

void list_choices(const option_row *row, const char *last, char *out, size_t size)
{
    size_t used = 0;
    *out = '\0';
    for (int i = 0; row->choice && row->choice(i); i++) {
        const char *between = i == 0 ? "" : row->choice(i + 1) ? ", " : last;
        int n = snprintf(out + used, size - used, "%s%s", between, row->choice(i));
        used = used + (size_t)n < size ? used + (size_t)n : size - 1;
    }
}

/* ---- Values --------------------------------------------------------------------------------- */

static int refuse_choice(const option_row *row, const char *value)
{
    const char *names[128];
    int n = 0;
    char list[1024];
    while (n < 128 && (names[n] = row->choice(n)))
        n++;
    const char *near = nearest_name(value, names, n);
    list_choices(row, " or ", list, sizeof list);
    complain("%s: '%s' is not known%s%s%s; expected %s", row->name, value, near ? ", did you mean '" : "",
             near ? near : "", near ? "'" : "", list);
    return EXIT_USAGE;
}

static bool is_choice(const option_row *row, const char *value)
{
    for (int i = 0; row->choice(i); i++)
        if (strcmp(row->choice(i), value) == 0)
            return true;
    return false;
}

static int check_choices(const option_row *row, const char *value)
{
    char part[64];
    for (const char *p = value;; p++) {
        size_t n = strcspn(p, ",");
        snprintf(part, sizeof part, "%.*s", n < sizeof part ? (int)n : (int)sizeof part - 1, p);
        if (n >= sizeof part || !is_choice(row, part))
            return refuse_choice(row, part);
        p += n;
        if (*p == '\0')
            return EXIT_DONE;
    }
}

static int set_number(const option_row *row, const char *value, char *at)
{
    char *end;
    double number = strtod(value, &end);
    bool whole = row->kind != OPTION_INTEGER || number == floor(number);
    if (row->kind == OPTION_SECONDS && end != value && strcmp(end, "s") == 0)
        end++;
    if (end == value || *end || !(number >= row->low && number <= row->high) || !whole) {
        complain("%s: '%s' is not a %snumber from %.10g to %.10g", row->name, value,
                 row->kind == OPTION_INTEGER ? "whole " : "", row->low, row->high);
        return EXIT_USAGE;
    }
    int integer = row->kind == OPTION_INTEGER ? (int)number : 0;
    if (row->kind == OPTION_INTEGER)
        memcpy(at, &integer, sizeof integer);
    else
        memcpy(at, &number, sizeof number);
    return EXIT_DONE;
}

static int set_value(const option_row *row, const char *value, settings *s)
{
    char *at = (char *)s + row->at;
    if (row->kind == OPTION_INTEGER || row->kind == OPTION_NUMBER || row->kind == OPTION_SECONDS)
        return set_number(row, value, at);
    if (*value == '\0') {
        complain("%s: the value is empty, expected %s", row->name, row->value);
        return EXIT_USAGE;
    }
    if (row->kind == OPTION_CHOICE && !is_choice(row, value))
        return refuse_choice(row, value);
    if (row->kind == OPTION_CHOICES && check_choices(row, value) != EXIT_DONE)
        return EXIT_USAGE;
    memcpy(at, &value, sizeof value);
    return EXIT_DONE;
}

/* Every option as if it were not given, then the table's defaults for the command. */
static int set_defaults(const command *c, settings *s)
{
    memset(s, 0, sizeof *s);
    s->top = s->threads = s->batch = s->seed = -1;
    s->train.weight_decay = NAN;
    s->alpha = s->box = s->budget = NAN;
    int code = EXIT_DONE;
    for (int i = 0; i < option_row_count && code == EXIT_DONE; i++)
        if (option_rows[i].initial && (option_rows[i].commands & c->bit))
            code = set_value(&option_rows[i], option_rows[i].initial, s);
    return code;
}

/* ---- Parsing -------------------------------------------------------------------------------- */

static bool equals(const char *name, const char *text, size_t length)
{
    return name && strlen(name) == length && strncmp(name, text, length) == 0;
}

static const option_row *find_row(const command *c, const char *text, size_t length)
{
    for (int i = 0; i < option_row_count; i++)
        if ((option_rows[i].commands & c->bit) &&
            (equals(option_rows[i].name, text, length) || equals(option_rows[i].letter, text, length)))
            return &option_rows[i];
    return NULL;
}

static int refuse_option(const command *c, const char *text, size_t length)
{
    const char *names[sizeof option_rows / sizeof *option_rows];
    char typed[64];
    int n = 0;
    snprintf(typed, sizeof typed, "%.*s", length < sizeof typed ? (int)length : (int)sizeof typed - 1, text);
    for (int i = 0; i < option_row_count; i++)
        if (option_rows[i].commands & c->bit)
            names[n++] = option_rows[i].name;
    const char *near = nearest_name(typed, names, n);
    complain("%s: option '%s' is not known%s%s; see `netgaze %s --help`", c->name, typed,
             near ? ", did you mean " : "", near ? near : "", c->name);
    return EXIT_USAGE;
}

/* One option at argv[*i]: --name, --name=value, --name value, -n, -n value, -nvalue. */
static int parse_option(const command *c, int argc, char **argv, int *i, settings *s)
{
    const char *text = argv[*i], *value = NULL;
    size_t length = strlen(text);
    if (strncmp(text, "--", 2) == 0) {
        length = strcspn(text, "=");
        value = text[length] ? text + length + 1 : NULL;
    } else if (length > 2) {
        length = 2;
        value = text + 2;
    }
    const option_row *row = find_row(c, text, length);
    if (!row)
        return refuse_option(c, text, value && length > 2 ? length : strlen(text));
    if (row->kind == OPTION_FLAG) {
        if (value) {
            complain("%s takes no value, '%s' was given", row->name, value);
            return EXIT_USAGE;
        }
        *(bool *)((char *)s + row->at) = true;
        return EXIT_DONE;
    }
    if (!value && *i + 1 < argc)
        value = argv[++*i];
    if (!value) {
        complain("%s: a value (%s) is missing", row->name, row->value);
        return EXIT_USAGE;
    }
    return set_value(row, value, s);
}

int parse_options(const command *c, int argc, char **argv, settings *s)
{
    int code = set_defaults(c, s);
    bool plain = false;
    s->typed = argv;
    s->n_typed = argc;
    s->arguments = malloc((size_t)argc * sizeof *s->arguments);
    if (!s->arguments)
        return say_out_of_memory();
    for (int i = 2; i < argc && code == EXIT_DONE; i++) {
        char *text = argv[i];
        if (plain || text[0] != '-' || text[1] == '\0')
            s->arguments[s->n_arguments++] = text;
        else if (strcmp(text, "--") == 0)
            plain = true;
        else
            code = parse_option(c, argc, argv, &i, s);
    }
    if (s->exact && strcmp(s->backend, "auto") == 0)
        s->backend = "onednn"; /* what that means; sidecars name it */
    if (code == EXIT_DONE && s->n_arguments && *c->arguments == '\0') {
        complain("%s takes no argument, '%s' was given", c->name, s->arguments[0]);
        code = EXIT_USAGE;
    }
    return code;
}
