_base_ = 'skeletontcn-tiny-groupdro_mma82_indomain.py'
protocol = dict(_delete_=True, name='fewshot')
