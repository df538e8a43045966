#pragma once

#define HINOMI_VERSION "0.1.0"
