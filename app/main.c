/* netgaze: the command line. The commands stand in one table here, the options in another (options.c). */
#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_CODES                                                                     \
    "Exit codes: 0 all done, 1 some images failed, 2 wrong usage, 3 model unusable,\n" \
    "4 environment (unwritable output, disk full, out of memory), 130 interrupted,\n"  \
    "141 nobody reads standard output any more (as in `| head`).\n"

const command commands[] = {
    {"explain", "MODEL IMAGE... -o DIR", "show where the model looked: heatmaps, overlays, figures, raw maps",
     "MODEL is a .keras archive, a Keras .h5 file, a TensorFlow.js model (model.json or its folder), or\n"
     "the name of a built-in architecture (inception_v3) with weights in ~/.keras/models or --weights.\n\n"
     "IMAGE is a file, a folder (with -r, its subfolders too) or a quoted glob. A .npy array of float32\n"
     "[h,w,c] or [n,h,w,c] is the network's input as it is.\n\n"
     "Each map is written as DIR/IMAGE.LAYER.METHOD.CLASS with the endings .npy (the raw map),\n"
     ".heatmap.png, .overlay.png, .figure.png and, last, .json: the sidecar, with every convention used.\n"
     "A damaged image is reported, skipped and counted. The same command again continues where it\n"
     "stopped.\n\n" EXIT_CODES,
     "  # a folder of images, at the layer chosen automatically\n"
     "  netgaze explain chest.keras xrays/ -o heatmaps\n"
     "  # two layers, the three most likely classes, and all of them in one picture\n"
     "  netgaze explain model.h5 dog.jpg -o out --layer mixed7,mixed10 --top 3 --grid\n"
     "  # a class by its label, the raw numbers as JSON lines\n"
     "  netgaze explain model.keras 'photos/*.jpg' -o out --class nodule --outputs raw,sidecar --json\n"
     "  # why mistakes were made: the predicted class beside the true one, which the folders name\n"
     "  netgaze explain model.keras -r photos/ -o out --class predicted,true --truth folders --grid\n"
     "  # several methods side by side, with the correlation of their maps\n"
     "  netgaze explain model.keras dog.jpg -o out --method gradcam,layercam,saliency\n"
     "  # exactly what the article's Keras and OpenCV code draws\n"
     "  netgaze explain model.keras dog.jpg -o out --compat article\n"
     "  # a network by name\n"
     "  netgaze explain --model inception_v3 photo.jpg -o out --labels imagenet_class_index.json\n",
     EXPLAIN, run_explain},
    {"classify", "MODEL IMAGE...", "labels and probabilities",
     "MODEL and IMAGE are those of `netgaze explain`. With --json, one object per image and line: image,\n"
     "status, predictions (index, label, probability, logit; most likely first).\n\n" EXIT_CODES,
     "  netgaze classify model.keras photo.jpg\n"
     "  # every class of every image of a folder, for a script\n"
     "  netgaze classify model/ photos/ --json --top 0 > predictions.jsonl\n",
     CLASSIFY, run_classify},
    {"train", "BASE DATA -o OUT",
     "a new classifier on an old network: a head on its features, then, if wanted, its top",
     "BASE is a MODEL of `netgaze explain`; DATA is that of `netgaze duplicates`: its folders are the "
     "classes.\n"
     "The base is cut before its head; its features of every image are computed once and kept; a new head\n"
     "(global average pooling, dropout, dense) learns from them. With --unfreeze, the base's top is then\n"
     "trained with it at a small learning rate, on augmented images. Batch norms always use their moving\n"
     "statistics. The saved model has labels and preprocessing inside, is opened again and must say what\n"
     "training said.\n\n"
     "In OUT's folder NAME-train/ are metrics.jsonl, event files for TensorBoard, the features, and, until "
     "it\n"
     "is done, the checkpoint. Ctrl-C keeps a checkpoint; --resume goes on from it and ends with the same\n"
     "bytes. Images that cannot be read are left out and named.\n\n" EXIT_CODES,
     "  # a head on InceptionV3's features\n"
     "  netgaze train inception_v3.h5 photos/ -o flowers.keras\n"
     "  # the base cut earlier, and its top trained too\n"
     "  netgaze train base.keras photos/ -o flowers.keras --base-layer mixed8 --unfreeze mixed6 \\\n"
     "    --augment flip=horizontal,rotation=0.05,zoom=0.1\n"
     "  # rare classes, patients that must not be in two splits\n"
     "  netgaze train base.keras scans.csv -o scans.h5 --class-weights --group '^(p[0-9]+)_' --test 0.2\n"
     "  # after an interruption\n"
     "  netgaze train inception_v3.h5 photos/ -o flowers.keras --resume\n",
     TRAIN, run_train},
    {"probe", "BASE DATA", "which layer of a network a new head is best put on",
     "BASE and DATA are those of `netgaze train`. For the end of each block, from one pass over the images:\n"
     "how many of them a linear head on its pooled features says rightly (logistic regression, cross-\n"
     "validated, groups kept together), Wilson's 95 % interval, the standard error over the folds, and the\n"
     "part of the base's multiply-adds that lead there. Images for testing are left out.\n\n" EXIT_CODES,
     "  netgaze probe inception_v3.h5 photos/\n"
     "  netgaze probe base.keras scans.csv --group '^(p[0-9]+)_' --layer mixed5,mixed7,mixed10 --json\n",
     PROBE, run_probe},
    {"layers", "MODEL", "the layers, which can be explained, and the automatic choice",
     "A row per layer: path, class, output shape, input pixels per cell, parameters, trainable. * marks\n"
     "the layer that is explained by default, + the others that can be.\n",
     "  netgaze layers model.keras --candidates\n"
     "  netgaze layers model.h5 --json\n",
     LAYERS, run_layers},
    {"sanity", "MODEL IMAGE...", "whether a method's maps depend on the weights: the randomisation test",
     "Makes the network's layers forget in stages, from the output to the input (Adebayo et al., Sanity\n"
     "checks for saliency maps, 2018), explains the same class again, and compares the map with the\n"
     "original one: Spearman's rank correlation and structural similarity, means over the images. A method\n"
     "whose maps stay what they were shows the image, not the model. Beside it: the map of the least likely\n"
     "class, and the edges that a Sobel filter finds. Files are not written.\n\n" EXIT_CODES,
     "  netgaze sanity model.keras photos/ --method gradcam,guidedbackprop,saliency\n"
     "  netgaze sanity model.keras dog.jpg --method gradcam --layer mixed7 --json\n",
     SANITY, run_sanity},
    {"score", "MODEL DATA",
     "how well methods find the thing, and whether the score depends on what they show",
     "DATA is a CSV with a header of the columns path and label and, if wanted, split, group, mask and box\n"
     "(\"x y width height\"), a folder of images by class, or plain images. Each method explains each "
     "image;\n"
     "the table has a row a method: means over the images with 95% bootstrap intervals, groups (pictures of\n"
     "one thing) drawn whole.\n\n"
     "Against mask or box: energy (share of the map in the region), pointing (its largest pixel is in it;\n"
     "near: within 15 pixels), rank (share of its K largest pixels in a region of K), IoU at a threshold\n"
     "tuned on validation images, box IoU. By running the network: deletion (low is good) and insertion\n"
     "(high is good), areas under the probability as pixels are removed or shown in the map's order; drop "
     "and\n"
     "increase of the probability of the image times the map; ROAD. A forward costs about as much for each\n"
     "of the 2 x --steps points: choose --images and --steps with that in mind.\n\n"
     "A damaged image is reported, skipped and counted. With -o the same command again "
     "continues.\n\n" EXIT_CODES,
     "  # three methods and the controls on test images with masks\n"
     "  netgaze score model.keras scenes/list.csv --method gradcam,layercam,lrp,randomcam,centre -o scores\n"
     "  # every method, cheaply: 20 images, no curves\n"
     "  netgaze score model.keras scenes/list.csv --method all --images 20 --figures location,drop --csv\n"
     "  # plain images: only what needs no masks\n"
     "  netgaze score model.keras photos/ --figures drop,road --json\n",
     SCORE, run_score},
    {"concepts", "MODEL IMAGE... -o DIR",
     "what a class's images have in common for the network, without labels",
     "Takes the activations of crops of a class's images apart into concepts (CRAFT, Fel et al. 2023:\n"
     "non-negative factorisation), and says how much of the class's score each decides (total Sobol index,\n"
     "with its standard error over the images). Writes DIR/sheet.png, a row for each concept with the images "
     "in\n"
     "which it is strongest, its heatmap over them; DIR/concepts.json; DIR/bank.npy, the concepts' "
     "directions\n"
     "[concepts, channels]; and for each image DIR/IMAGE.concepts.npy, its maps [concepts, h, w]. The same\n"
     "seed gives the same bytes, whatever the number of threads.\n\n" EXIT_CODES,
     "  netgaze concepts model.keras photos/ -o concepts --class cat\n"
     "  netgaze concepts model.keras photos/ -o concepts -n 5 --layer mixed7 --json\n",
     CONCEPTS, run_concepts},
    {"methods", "", "the attribution methods", "", "  netgaze methods\n  netgaze methods --json\n", METHODS,
     run_methods},
    {"render", "SIDECAR...", "draw the pictures of sidecars again, in other colours if asked",
     "Takes the sidecars (.json) that `netgaze explain` wrote, the raw maps beside them and the original\n"
     "images. Without other options the same bytes come out.\n",
     "  netgaze render out/dog.mixed10.gradcam.2.json --colormap viridis -o viridis\n"
     "  # the signed map, where relu left nothing\n"
     "  netgaze render out/*.json --signed -o signed\n",
     RENDER, run_render},
    {"doctor", "[MODEL]", "the build, the CPU, library versions, caches; with a model, its kernels and speed",
     "",
     "  netgaze doctor\n"
     "  # one image of noise through the network; the kernel of every step\n"
     "  netgaze doctor model.keras\n",
     DOCTOR, run_doctor},
    {"bench", "MODEL", "milliseconds of a forward run, a Grad-CAM and a gradient at the input, here",
     "On noise that is always the same; the three take turns. Grad-CAM and the gradient at the input\n"
     "include their forward run. Peak memory is that of the process after its first Grad-CAM.\n",
     "  netgaze bench model.keras\n"
     "  netgaze bench model.keras --threads 2 --batch 8 --json\n",
     BENCH, run_bench},
    {"tune", "MODEL", "measure which kernel runs each convolution best on this machine",
     "What wins is kept in the cache's folder and taken by every later run, of this and of other models\n"
     "with such layers; `netgaze cache clear` forgets it. Measure when nothing else runs.\n",
     "  netgaze tune model.keras\n"
     "  netgaze tune model.keras --threads 2 --repeat 50\n",
     TUNE, run_tune},
    {"cache", "[list|clear|limit [SIZE]]", "decoded and packed weights kept for a quick start",
     "They lie in $NETGAZE_CACHE, $XDG_CACHE_HOME/netgaze or ~/.cache/netgaze; NETGAZE_CACHE=off keeps\n"
     "none. Beyond the limit (2 GiB) the least recently used are thrown out. Damaged and outdated files\n"
     "are noticed and made again; they can be removed at any time.\n",
     "  netgaze cache\n"
     "  netgaze cache clear\n"
     "  netgaze cache limit 500M\n",
     CACHE, run_cache},
    {"duplicates", "DATA", "images of a data set that are nearly the same, also across its splits",
     "DATA is a folder (CLASS/IMAGE or train, val and test with such folders) or a CSV file with a header\n"
     "of path and label and, if wanted, split, group, box and mask. Two images count as nearly the same\n"
     "where their difference hashes differ in at most 6 of 64 bits and their grey 16x16 pictures correlate\n"
     "by at least 0.97: resized, recompressed, brightened copies. Each image is named with its best match\n"
     "before it in each split.\n\n" EXIT_CODES,
     "  netgaze duplicates photos/\n"
     "  netgaze duplicates list.csv --json > duplicates.jsonl\n",
     DUPLICATES, run_duplicates},
    {"augment-preview", "DATA --augment TEXT -o FILE",
     "a contact sheet of images and what augmentation makes of them",
     "DATA is that of `netgaze duplicates`. Names, ranges and formulas are those of Keras's preprocessing\n"
     "layers: flip, rotation, zoom, translation, contrast, brightness, hue, cutout, fill. One number f is\n"
     "the range -f to f, low:high another one. Each column is an epoch of training with this "
     "seed.\n\n" EXIT_CODES,
     "  netgaze augment-preview photos/ --augment flip=horizontal,rotation=0.05,zoom=0.1 -o sheet.png\n"
     "  netgaze augment-preview list.csv --augment contrast=0.3,hue=0.1,cutout=1,fill=nearest -o sheet.jpg\n",
     AUGMENT_PREVIEW, run_augment_preview},
    {"evaluate", "MODEL DATA -o DIR",
     "how good a model is on labelled images, with a report that shows where it looks",
     "DATA is that of `netgaze duplicates`; its classes are matched with the model's labels, or by their "
     "order where\n"
     "the model has none. Writes report.html, one file with all pictures inside that needs no network, "
     "report.json\n"
     "and predictions.csv: accuracy with its interval, the confusion matrix with the images of each cell, "
     "figures of\n"
     "each class, the calibration curve and temperature (fitted on val where that is not what is judged), "
     "and with\n"
     "heatmaps the greatest losses, the mistakes of each class, and, where the data has masks or boxes, the "
     "images\n"
     "that are right for the wrong place. A model that ends in several sigmoids is judged by each label. "
     "Images that\n"
     "cannot be read are left out and counted.\n\n" EXIT_CODES,
     "  netgaze evaluate birds.keras photos/ -o report\n"
     "  netgaze evaluate birds.keras list.csv --split val --json -o report\n",
     EVALUATE, run_evaluate},
    {"compare", "A B DATA -o DIR",
     "what changed between two models, such as one before and one after retraining",
     "DATA is that of `netgaze duplicates`. Both models are judged on the same images, as `netgaze\n"
     "evaluate` does; they must have the same classes, in any order. Writes compare.html, one file\n"
     "with all pictures inside that needs no network, compare.json and compare.csv: the accuracy of\n"
     "each model with its interval, their difference with the interval of the paired bootstrap and\n"
     "McNemar's exact test, what changed in each class, where the data has masks or boxes how much of\n"
     "each model's heatmaps lies on the object, and the images that only one of the two gets right,\n"
     "with both models' heatmaps of the image's own class beside each other. Options are for both\n"
     "models.\n\n" EXIT_CODES,
     "  netgaze compare before.keras after.keras photos/ -o comparison\n"
     "  # the images set aside for testing, figures as JSON too\n"
     "  netgaze compare before.keras after.keras list.csv --split test --json -o comparison\n",
     COMPARE, run_compare},
    {"convert", "MODEL OUT", "write a model in another format, with its labels and preprocessing inside",
     "OUT.keras is for Keras 3, OUT.h5 for Keras 2 and 3, any other name a TensorFlow.js layers model (a\n"
     "folder that is not there yet). Models inside the model are laid flat, so that every layer is one of\n"
     "the model's own. A layer that the target cannot express ends the command with exit code 3, and\n"
     "nothing is written.\n",
     "  netgaze convert model.h5 model.keras\n"
     "  netgaze convert web/model.json model.h5 --labels labels.txt --preprocess tf\n"
     "  # a quarter of the size\n"
     "  netgaze convert model.keras web-small --dtype uint8\n",
     CONVERT, run_convert},
    {"man", "", "the manual page, as troff", "", "  netgaze man | man -l -\n", MANUAL, run_manual},
    {"completion", "bash", "shell completion", "", "  source <(netgaze completion bash)\n", COMPLETION,
     run_completion},
};
const int command_count = (int)(sizeof commands / sizeof *commands);

static const command *find_command(const char *name)
{
    for (int i = 0; i < command_count; i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

static int refuse_command(const char *name)
{
    const char *names[sizeof commands / sizeof *commands];
    for (int i = 0; i < command_count; i++)
        names[i] = commands[i].name;
    const char *near = nearest_name(name, names, command_count);
    if (near)
        complain("'%s' is not a command; did you mean '%s'? `netgaze --help` lists all", name, near);
    else
        complain("'%s' is not a command; `netgaze --help` lists them", name);
    return EXIT_USAGE;
}

static void print_usage(FILE *f)
{
    fprintf(f, "netgaze %s: where an image classifier looks\n\nUsage: netgaze COMMAND ...\n\nCommands:\n",
            ng_version());
    for (int i = 0; i < command_count; i++)
        fprintf(f, "  %-11s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`netgaze COMMAND --help` describes a command.\n\nExamples:\n"
          "  netgaze explain chest.keras xrays/ -o heatmaps\n"
          "  netgaze classify model.keras photo.jpg\n\n" EXIT_CODES,
          f);
}

static int run_command(const command *c, int argc, char **argv)
{
    settings s;
    int code = parse_options(c, argc, argv, &s);
    if (code == EXIT_DONE && s.help)
        print_help(c);
    else if (code == EXIT_DONE)
        code = c->run(&s);
    free(s.arguments);
    return code;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    bool help = strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    if (help && argc > 2) {
        const command *c = find_command(argv[2]);
        if (!c)
            return refuse_command(argv[2]);
        print_help(c);
    } else if (help) {
        print_usage(stdout);
    } else if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("netgaze %s\n", ng_version());
    } else {
        const command *c = find_command(name);
        return c ? run_command(c, argc, argv) : refuse_command(name);
    }
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    /* A closed pipe and a limit of file sizes (ulimit -f) are errors of the write: what is begun is finished or removed. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    int code = dispatch(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    if (reader_has_gone())
        return EXIT_UNREAD;
    if (code == EXIT_DONE) {
        complain("standard output: %s", strerror(errno));
        code = EXIT_ENVIRONMENT;
    }
    return code;
}
